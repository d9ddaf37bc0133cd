"""The signals of rpicam-vid: default actions until the camera runs, then four of them only noted.

The handlers log and remember; the frame loop looks at what they remembered when a frame comes, never in between. A
camera that delivers no frames is deaf.
"""

from __future__ import annotations

import signal
from types import FrameType

from edge_agent.simulated.console import Console


def restore_defaults() -> None:
    """Undo what Python sets up for itself: a C program has the default actions for SIGINT and SIGPIPE."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


class Signals:
    """The last signal received, once `install` has been called from the main thread."""

    def __init__(self, console: Console, *, stops_on_signal: bool) -> None:
        self._console = console
        self._stops_on_signal = stops_on_signal
        self._received = 0

    def install(self) -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, self._note)

    def ask_to_stop(self) -> bool:
        """SIGINT, or with `--signal` SIGUSR2 or SIGPIPE, has come since the camera runs."""
        if self._received == signal.SIGINT:
            return True
        asks = self._stops_on_signal and self._received in {signal.SIGUSR2, signal.SIGPIPE}
        if self._stops_on_signal:
            self._received = 0
        return asks

    def forget(self) -> None:
        self._received = 0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        self._console.tell(f"Received signal {int(number)}")
