"""One frame as viewers get it: a part of a multipart/x-mixed-replace body, made once and shared by all of them.

A part is its header, the JPEG and the boundary that ends it, in this order: a browser shows a picture when it has seen
the boundary behind it, so a boundary that came with the next part would show every picture one frame late.

The header tells each viewer how many frames it missed and so may differ; JPEG and boundary never do. For many viewers
or large pictures the part is put into a memory file, from which `sendfile` gives pages to the socket without a copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from edge_agent.latest import Frame

BOUNDARY = "edge-agent-frame"
CONTENT_TYPE = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
OPENING = f"--{BOUNDARY}\r\n".encode()
"""What stands before the first part."""
CLOSING = f"\r\n--{BOUNDARY}\r\n".encode()
"""What ends each part, and begins the next."""

_NONE = b"0\r\n\r\n"
_HEADER = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: %b\r\nX-Sequence: %d\r\nX-Dropped: " + _NONE
_SPARE_FILES = 3
"""The current part's, and those that slow viewers usually hold on to."""


def timestamp(at: datetime) -> bytes:
    """An instant in UTC as ISO 8601 with milliseconds. `isoformat` takes 14 us when it was not used for a while."""
    ms = at.microsecond // 1000
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (at.year, at.month, at.day, at.hour, at.minute, at.second, ms)


class MemoryFiles:
    """Memory files to send from, used again so that a frame costs no open and close.

    A file is emptied before it is used again, never overwritten: TCP holds on to the pages it was given until they are
    acknowledged, and would send the next frame's bytes in place of this one's. Emptying leaves it the old pages.
    """

    def __init__(self) -> None:
        self._spare: list[int] = []

    def fill(self, pieces: Sequence[bytes]) -> int:
        """A file that holds `pieces` one behind the other, or -1 if the machine has no more files or memory for it."""
        try:
            fd = self._spare.pop() if self._spare else os.memfd_create("frame", os.MFD_CLOEXEC)
        except OSError:
            return -1
        try:
            if os.writev(fd, pieces) == sum(map(len, pieces)):
                return fd
        except OSError:
            pass
        os.close(fd)
        return -1

    def give_back(self, fd: int) -> None:
        """Take back a file that no viewer sends from any more."""
        if len(self._spare) < _SPARE_FILES:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            self._spare.append(fd)
        else:
            os.close(fd)

    def close(self) -> None:
        while self._spare:
            os.close(self._spare.pop())


class Part:
    """A frame ready to be sent. Counts who still needs it, and gives its memory file back when nobody does.

    `file` is the memory file with the part as a viewer gets it that missed nothing, or -1.
    """

    __slots__ = ("_files", "_holders", "_whole", "body_bytes", "file", "jpeg", "usual_header")

    def __init__(self, frame: Frame, files: MemoryFiles | None = None) -> None:
        jpeg = self.jpeg = frame.jpeg
        self.usual_header = _HEADER % (len(jpeg), timestamp(frame.captured_at), frame.sequence)
        self.body_bytes = len(jpeg) + len(CLOSING)
        self.file = -1 if files is None else files.fill((self.usual_header, jpeg, CLOSING))
        self._files = files
        self._holders = 1
        self._whole: bytes | None = None

    def header(self, dropped: int) -> bytes:
        """The header for a viewer that missed `dropped` frames so far: `usual_header` itself where that is none."""
        return self.usual_header[: -len(_NONE)] + b"%d\r\n\r\n" % dropped if dropped else self.usual_header

    @property
    def whole(self) -> bytes:
        """The part in one piece, for many viewers that missed nothing; made when it is first asked for."""
        if self._whole is None:
            self._whole = b"".join((self.usual_header, self.jpeg, CLOSING))
        return self._whole

    def rest(self, header: bytes, sent: int) -> list[memoryview]:
        """What is left to send after `sent` bytes of this part with this header."""
        left = []
        for piece in (header, self.jpeg, CLOSING):
            if sent < len(piece):
                left.append(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))
        return left

    def hold(self) -> Part:
        """Say that somebody more needs the part; its maker does from the beginning."""
        self._holders += 1
        return self

    def retire(self) -> None:
        """Release the part as its maker, when a newer one takes its place; who still sends it has the pieces."""
        self._whole = None
        if self.file >= 0:
            self.jpeg = b""
        self.release()

    def release(self) -> None:
        """Say that one of those no longer needs it."""
        self._holders -= 1
        if not self._holders and self.file >= 0 and self._files is not None:
            self._files.give_back(self.file)
            self.file = -1
