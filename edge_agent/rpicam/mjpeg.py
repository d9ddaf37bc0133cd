"""Cuts the bytes of an MJPEG stream into JPEGs. Sans-I/O: who reads them, and when they came, is `source.py`'s matter.

An MJPEG stream is bare JPEGs one after another. rpicam-vid's hold one SOI and one EOI each, but a JPEG in general may
hold a whole other JPEG in an Exif segment, or FF D9 as part of a length. So the markers are walked (ITU-T T.81, B.1):
segments are skipped by their length, and only entropy-coded data is searched, where FF is followed by 00 or a restart
marker until a marker ends it.
"""

from __future__ import annotations

import re
import struct
from enum import Enum, auto

LIMIT_BYTES = 4 * 1024 * 1024
"""No live picture is that large: 1920x1080 at quality 90 is half a megabyte."""

_SOI = b"\xff\xd8"
_SOI_AND_MARKER = b"\xff\xd8\xff"
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends entropy-coded data: FF neither stuffed (00), nor a fill byte (FF), nor a restart marker (D0 to D7).

The regular expression reads 180 KB in 75 us, a loop over `find` in 330 us (Python 3.11, x86-64).
"""

_FF, _EOI, _SOS = 0xFF, 0xD9, 0xDA
_SEGMENT = struct.Struct(">BBH")
"""FF, the marker, and the length of its segment, which counts itself."""
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))
_STANDING_ALONE = {0x01: 2, _FF: 1} | dict.fromkeys(range(0xD0, 0xD8), 2)
"""Markers without a length (TEM, RST0 to RST7) and the fill byte, with the bytes to go on by.

What else may follow FF where a marker is due is not one: 02 to BF are reserved, and an SOI begins another image.
"""


class FrameTooLarge(Exception):
    """No EOI within `limit_bytes` of an SOI: not a JPEG, or not one of ours.

    `completed` are the JPEGs that the same call had found before it, which would otherwise be lost.
    """

    def __init__(self, limit_bytes: int, completed: list[bytes]) -> None:
        super().__init__(f"no end of image within {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.completed = completed


class _Inside(Enum):
    """Where in the stream the next byte lies."""

    RUBBISH = auto()
    HEADER = auto()
    SCAN = auto()


class _Found(Enum):
    """What the walk came upon."""

    NOTHING_YET = auto()
    END = auto()
    RUBBISH = auto()


class Splitter:
    """Collects the bytes of one MJPEG stream. Not to be shared between streams or threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._inside = _Inside.RUBBISH
        self._at = 0  # the next byte to look at; the image begins at 0 unless in rubbish

    @property
    def pending(self) -> bool:
        """Whether an image has begun whose end has not come."""
        return self._inside is not _Inside.RUBBISH

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[bytes]:
        """Add bytes of the stream and return the JPEGs completed by them, oldest first, each from SOI to EOI inclusive.

        Chunk borders carry no meaning. Walks markers, so an EOI inside an Exif thumbnail or a length does not end the
        image. Bytes that cannot belong to a JPEG are dropped up to the next SOI. Raises `FrameTooLarge` when no EOI
        arrives within `limit_bytes`, and then goes on behind these bytes with the next call, which may be given
        nothing. Holds at most `limit_bytes` and one chunk. Amortised O(len(chunk)).
        """
        self._buffer += chunk
        frames: list[bytes] = []
        while self._inside is not _Inside.RUBBISH or self._seek_start():
            found, decided_by = self._walk()
            if decided_by > self._limit_bytes:
                self._drop(self._limit_bytes)
                raise FrameTooLarge(self._limit_bytes, frames)
            if found is _Found.NOTHING_YET:
                break
            if found is _Found.END:
                with memoryview(self._buffer) as held:
                    frames.append(bytes(held[: self._at]))
            self._drop(self._at)
        return frames

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._inside = _Inside.RUBBISH
        self._at = 0

    def _seek_start(self) -> bool:
        """Drop what lies before the next SOI; False if none is there, keeping what may be the beginning of one."""
        start = self._buffer.find(_SOI_AND_MARKER)
        if start < 0:
            kept = 2 if self._buffer.endswith(_SOI) else 1 if self._buffer.endswith(_SOI[:1]) else 0
            del self._buffer[: len(self._buffer) - kept]
            return False
        del self._buffer[:start]
        self._inside, self._at = _Inside.HEADER, len(_SOI)
        return True

    def _walk(self) -> tuple[_Found, int]:
        """Go on from `_at` to the end of the image (then `_at` is behind it), to rubbish (then at it), or out of bytes.

        Also returns how many bytes of the image this took to see: so the limit means the same for every chunking.
        """
        undecided = _Found.NOTHING_YET, len(self._buffer) + 1
        while True:
            if self._inside is _Inside.SCAN and not self._skip_scan():
                return undecided
            self._skip_segments()
            if self._inside is _Inside.SCAN:
                continue
            marker = self._buffer[self._at : self._at + 4]
            if len(marker) < 2:
                return undecided
            lead, code = marker[:2]
            if lead == _FF and code == _EOI:
                self._at += 2
                return _Found.END, self._at
            if lead == _FF and code in _STANDING_ALONE:
                self._at += _STANDING_ALONE[code]
                continue
            if lead != _FF or code not in _SEGMENTS:
                return _Found.RUBBISH, self._at + 2
            if len(marker) < 4:
                return undecided
            return _Found.RUBBISH, self._at + 4  # a length of less than itself

    def _skip_segments(self) -> None:
        """Move `_at` behind the segments of which all lengths have come, or to the scan if one begins."""
        buffer, at = self._buffer, self._at
        last = len(buffer) - _SEGMENT.size
        while at <= last:
            lead, code, length = _SEGMENT.unpack_from(buffer, at)
            if lead != _FF or code not in _SEGMENTS or length < 2:
                break
            at += 2 + length
            if code == _SOS:
                self._inside = _Inside.SCAN
                break
        self._at = at

    def _skip_scan(self) -> bool:
        """Move `_at` to the marker that ends the entropy-coded data; False if it has not come."""
        if self._at >= len(self._buffer):  # still within the header of the scan
            return False
        end = _END_OF_SCAN.search(self._buffer, self._at)
        if end is None:
            self._at = len(self._buffer) - self._buffer.endswith(b"\xff")
            return False
        self._at, self._inside = end.start(), _Inside.HEADER
        return True
