"""The child that sends files, one order at a time, until its stdin ends or the store fails it.

    python -m edge_agent.offload.sender

Exit codes: 0; 1 after a `Refused` line; 2 for a first line that is no destination.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

from edge_agent.core.offload import Allowance
from edge_agent.offload.orders import (
    Order,
    Progress,
    Refused,
    Told,
    Unreadable,
    line_of,
    read_destination,
    read_order,
)
from edge_agent.offload.store import Store, StoreFailed

NICENESS = 15
"""Behind recording (0) and viewers' pictures (10); the kernel takes the priority at the disk from it as well."""
PROGRESS_EVERY_S = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Meter:
    """Counts what goes out, tells of it now and then, and holds it back to the rate that is allowed."""

    def __init__(self, max_bps: int | None) -> None:
        self._allowance = None if max_bps is None else Allowance(max_bps / 8)
        self._untold_bytes = 0
        self._told_mono_s = time.monotonic()

    def pass_on(self, size_bytes: int) -> None:
        """Wait until a piece of this size may go out."""
        if self._allowance is not None:
            time.sleep(self._allowance.wait_s(size_bytes, time.monotonic()))
        self._untold_bytes += size_bytes
        if time.monotonic() - self._told_mono_s >= PROGRESS_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Tell what was not told yet."""
        if self._untold_bytes:
            _say(Progress(self._untold_bytes))
        self._untold_bytes = 0
        self._told_mono_s = time.monotonic()


def main() -> int:
    """Run the program."""
    # The kernel ends this process with the thread that started it; an interrupt from the terminal is the parent's.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    try:
        destination = read_destination(sys.stdin.readline())
    except (ValueError, KeyError, TypeError) as error:
        print(f"no destination: {error!r}", file=sys.stderr)  # noqa: T201 - a program's own word to its parent's log
        return 2
    meter = Meter(destination.max_bps)
    try:
        store = Store(destination, meter.pass_on)
        for line in sys.stdin:
            _say(_sent(store, read_order(line), meter))
    except StoreFailed as failed:
        meter.tell()
        _say(Refused(str(failed)))
        return 1
    return 0


def _sent(store: Store, order: Order, meter: Meter) -> Told:
    try:
        with open(order.path, "rb", opener=_open) as file:
            stored = store.send(file, order.key)
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    finally:
        meter.tell()
    return stored


def _open(path: str, flags: int) -> int:
    """Follows no link: what a link in the archive names was not recorded."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _say(told: Told) -> None:
    sys.stdout.write(line_of(told))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
