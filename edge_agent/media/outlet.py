"""A pipe to the agent that never makes the tap wait: what does not fit is kept up to a limit, then refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
from collections.abc import Callable

PIPE_BYTES = 1024 * 1024
"""The most that Linux gives an unprivileged process; with it a 1080p picture goes out in one write."""

Ready = Callable[[], None]
"""What the selector holds beside a file descriptor: called when that descriptor is ready."""


class Outlet:
    """The writing end `fd`, which becomes non-blocking. Writes as the selector finds the pipe ready.

    `gone` is set when the reader has closed its end.
    """

    def __init__(self, fd: int, selector: selectors.BaseSelector, limit_bytes: int) -> None:
        self.gone = False
        self._fd = fd
        self._selector = selector
        self._limit_bytes = limit_bytes
        self._backlog = bytearray()
        os.set_blocking(fd, False)
        # Refused where it is no pipe, or the user's share of pipe memory is used up: smaller writes do as well.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def free(self) -> bool:
        """Whether something may be offered now."""
        return not self.gone and len(self._backlog) <= self._limit_bytes

    def offer(self, data: bytes) -> bool:
        """Send all of `data`, now or as the pipe drains. False: not free, and none of it was or will be sent."""
        if not self.free:
            return False
        if self._backlog:
            self._backlog += data
            return True
        written = self._write(data)
        if written < len(data) and not self.gone:
            self._backlog += memoryview(data)[written:]
            self._selector.register(self._fd, selectors.EVENT_WRITE, self._drain)
        return True

    def _drain(self) -> None:
        del self._backlog[: self._write(self._backlog)]
        if not self._backlog or self.gone:
            self._backlog.clear()
            self._selector.unregister(self._fd)

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            self.gone = True
            return 0
