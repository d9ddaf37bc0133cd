"""Reads the JPEGs that a child process writes to its stdout, on the event loop, and hands on each as it is complete.

Whoever writes them: rpicam-vid itself, or the preview child of a recording. Spawning and ending that process is not
done here, and neither is anything with the pictures: `on_frame` is told, at once, from the loop.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from contextlib import suppress

from edge_agent.core.model import Now
from edge_agent.loop import attend
from edge_agent.rpicam.mjpeg import LIMIT_BYTES, FrameTooLarge, Splitter

PIPE_BYTES = 1024 * 1024
"""The largest pipe an unprivileged process may have: two pictures of 1080p, so that a busy moment of the agent does
not block the camera, which has but 6 buffers."""
READ_BYTES = 256 * 1024

log = logging.getLogger(__name__)


class FrameSource:
    """The reading end of one child's stdout. Call from one event loop only.

    Takes over `fd` and closes it at its end. `on_frame` gets each JPEG with the instant at which its first bytes were
    read; `on_end` is called once, when the child has closed its end or the pipe broke, and never after `close`.
    """

    def __init__(
        self,
        fd: int,
        on_frame: Callable[[bytes, Now], None],
        clock: Callable[[], Now],
        on_end: Callable[[], None],
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._fd = fd
        self._on_frame = on_frame
        self._clock = clock
        self._on_end = on_end
        self._splitter = Splitter(limit_bytes)
        self._begun: Now | None = None
        self._flooded = False
        self._buffer = bytearray(READ_BYTES)
        self._view = memoryview(self._buffer)
        os.set_blocking(fd, False)
        # Refused where the user's share of pipe memory is used up, and for what is no pipe: then 64 KiB must do.
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._leave = attend(fd, self._readable)

    @property
    def closed(self) -> bool:
        """Whether the pipe is given up, by its end or by `close`."""
        return self._fd < 0

    def close(self) -> None:
        """Stop reading and close the pipe; the child gets SIGPIPE if it still writes. May be called twice."""
        if self._fd >= 0:
            self._leave()
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        try:
            count = os.readv(self._fd, (self._buffer,))
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("frames cannot be read: error=%s", error)
            count = 0
        if count:
            self._take(self._view[:count], self._clock())
        else:
            self.close()
            self._on_end()

    def _take(self, chunk: memoryview, now: Now) -> None:
        """Split what was read at `now`; the first frame completed by it may have begun earlier."""
        while True:
            try:
                frames, flooded = self._splitter.feed(chunk), False
            except FrameTooLarge as flood:
                frames, flooded = flood.completed, True
                if not self._flooded:
                    self._flooded = True
                    log.warning("rubbish instead of frames: %s", flood)
            for frame in frames:
                captured, self._begun = self._begun or now, None
                self._on_frame(frame, captured)
                if self.closed:
                    return
            if not flooded:
                break
            self._begun = None
            chunk = chunk[:0]
        if not self._splitter.pending:
            self._begun = None
        elif self._begun is None:
            self._begun = now
