"""The only place where a clock is read: both clocks at once, whether the wall clock is set, and when it jumps."""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_agent import ports
from edge_agent.core.model import Now

STEP_S = 1.0
"""Jumps from here on are told. Slewing moves a clock by 0.5 ms a second at most (adjtimex(2)) and is none."""
LOOK_EVERY_S = 1.0
"""How late a jump may be noticed. A look is two system calls."""

_SYNCHRONIZED_FILE = Path("/run/systemd/timesync/synchronized")
"""Touched by systemd-timesyncd when it first sets the clock (systemd-timesyncd.service(8))."""
_STA_UNSYNC = 0x40
"""In timex.h: set until a daemon disciplines the clock, and again when the kernel reckons with 16 s of error."""


class Clock:
    """The clocks of the machine, for everybody who needs the time."""

    def __init__(
        self, kernel_status: Callable[[], int | None] | None = None, synchronized_file: Path = _SYNCHRONIZED_FILE
    ) -> None:
        self._kernel_status = kernel_status or read_kernel_status
        self._synchronized_file = synchronized_file

    def now(self) -> Now:
        """The instant, on both clocks."""
        return Now(time.monotonic(), datetime.now(UTC))

    def synchronized(self) -> bool | None:
        """Whether the wall clock follows a time source; None where the machine does not tell. Does not block.

        A Pi has no battery clock: until this is true, its dates are those of its last shutdown or of its image.
        """
        status = self._kernel_status()
        if status is not None:
            return not status & _STA_UNSYNC
        return True if self._synchronized_file.exists() else None


class _Timex(ctypes.Structure):
    """The beginning of struct timex; `rest` is more than any architecture has behind it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def read_kernel_status() -> int | None:
    """The kernel's clock status bits by adjtimex(2), which changes nothing with modes 0; None where it is forbidden."""
    timex = _Timex()
    adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    return None if adjtimex(ctypes.byref(timex)) < 0 else int(timex.status)


class ClockWatch:
    """Notices when the wall clock jumps against the monotonic one: set by hand or time source, or after a suspend."""

    def __init__(self, clock: ports.Clock) -> None:
        self._clock = clock
        self._offset_s = _offset_s(clock.now())

    def look(self) -> float | None:
        """By how many seconds the wall clock jumped since the last look, ahead or (negative) back; None: it did not.

        Less than `STEP_S` between two looks is no jump, and is not added up over looks.
        """
        offset_s = _offset_s(self._clock.now())
        step_s = offset_s - self._offset_s
        self._offset_s = offset_s
        return step_s if abs(step_s) > STEP_S else None

    async def run(self, report: Callable[[float], None], interval_s: float = LOOK_EVERY_S) -> None:
        """Look for ever, and call `report` with the size of each jump."""
        while True:
            await asyncio.sleep(interval_s)
            step_s = self.look()
            if step_s is not None:
                report(step_s)


def _offset_s(now: Now) -> float:
    return now.wall.timestamp() - now.mono_s
