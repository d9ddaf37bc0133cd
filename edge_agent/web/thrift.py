"""Finds out which way of sending a frame costs less: from memory, or from a memory file, whose pages nobody copies.

That differs from machine to machine, with the size of the frames and with the number of viewers. 180 KB to 50 viewers
took 23 us a viewer from memory and 31 us from a file on one machine, 52 us and 36 us on another (tests/bench/floor.c).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

FEWEST = 8
"""For fewer viewers a file is not worth filling."""
TRIES = 4
"""Frames that each way is tried with; the cheapest counts, since what else the machine did only ever adds."""
PERIOD = 300
"""Frames until the next trial, 10 s as a rule: one in forty goes the dearer way."""


class Thrift:
    """Chooses the way for each frame of one camera; every `choose` has a `settle`.

    `cpu_s` is the processor time that the thread has used, in seconds; read during trials only.
    """

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time) -> None:
        self._cpu_s = cpu_s
        self._frame = 0
        self._crowd = 0
        self._begun_s = 0.0
        self._cheapest_s = {True: inf, False: inf}

    def choose(self, viewers: int) -> bool:
        """Whether the next frame, for so many viewers, goes through a file. Call before anything is done about it."""
        if viewers < FEWEST:
            return False
        # A trial compares like with like; after it a few viewers more or less change nothing.
        same = viewers == self._crowd if self._frame < 2 * TRIES else viewers / 2 < self._crowd < viewers * 2
        if not same or self._frame >= PERIOD:
            self._frame, self._crowd = 0, viewers
            self._cheapest_s = {True: inf, False: inf}
        self._frame += 1
        if self._frame <= 2 * TRIES:
            self._begun_s = self._cpu_s()
            return self._frame <= TRIES
        return self._cheapest_s[True] <= self._cheapest_s[False]

    def settle(self, viewers: int, *, from_file: bool) -> None:
        """Say that the frame was offered to all."""
        if viewers >= FEWEST and self._frame <= 2 * TRIES:
            spent_s = self._cpu_s() - self._begun_s
            self._cheapest_s[from_file] = min(self._cheapest_s[from_file], spent_s)
