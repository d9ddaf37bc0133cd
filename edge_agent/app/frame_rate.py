"""How many frames a second a camera really delivers, from counts of frames taken now and then."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_S = 10.0
"""Long enough that a fragment of frames more or less, a second's worth, does not look like trouble."""
DISTRUST_S = 3.0
"""How much longer than the time that passed the stream may say it is: more is a step of the clock that stamps it."""


class _Count(NamedTuple):
    mono_s: float
    frames: int
    media_s: float


class FrameRate:
    """The rate of one run. `fps` is None until the first window is full."""

    def __init__(self) -> None:
        self.fps: float | None = None
        self._counts: deque[_Count] = deque()

    def take(self, mono_s: float, frames: int, media_s: float) -> float | None:
        """Note that by now `frames` have come, which last `media_s` by their own time stamps; the rate since a while.

        Frames come in whole fragments, so that their own time stamps divide them best. They are not believed where
        the clock that made them was stepped.
        """
        counts = self._counts
        counts.append(_Count(mono_s, frames, media_s))
        while len(counts) > 2 and counts[1].mono_s <= mono_s - WINDOW_S:
            counts.popleft()
        first = counts[0]
        passed_s, lasting_s = mono_s - first.mono_s, media_s - first.media_s
        if passed_s < WINDOW_S or lasting_s <= 0:
            return None
        self.fps = (frames - first.frames) / (passed_s if lasting_s > passed_s + DISTRUST_S else lasting_s)
        return self.fps
