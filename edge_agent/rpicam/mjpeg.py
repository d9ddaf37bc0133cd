"""Cuts the bytes of an MJPEG stream into JPEGs. Sans-I/O: who reads them, and when they came, is `source.py`'s matter.

An MJPEG stream is bare JPEGs one after another. rpicam-vid's hold one SOI and one EOI each, but a JPEG in general may
hold a whole other JPEG in an Exif segment, or FF D9 as part of a length. So the markers are walked (ITU-T T.81, B.1):
segments are skipped by their length, and only entropy-coded data is searched, where FF is followed by 00 or a restart
marker until a marker ends it.
"""

from __future__ import annotations

import re
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
_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))
_STANDING_ALONE = {0x01: 2, _FF: 1} | dict.fromkeys(range(0xD0, 0xD8), 2)
"""Markers without a length (TEM, RST0 to RST7) and the fill byte, with the bytes to go on by.

What else may follow FF where a marker is due is not one: 02 to BF are reserved, and an SOI begins another image.
"""
_SEGMENT_START = 4
"""A marker and a length; so many bytes are looked at before something is called rubbish."""


class FrameTooLarge(Exception):
    """No EOI within `limit_bytes` of an SOI: not a JPEG, or not one of ours.

    `completed` are the JPEGs that the same call had found before it, which would otherwise be lost.
    """

    def __init__(self, limit_bytes: int, completed: list[bytes]) -> None:
        super().__init__(f"no end of image within {limit_bytes} bytes")
        self.limit_bytes = limit_bytes
        self.completed = completed


class _Found(Enum):
    """What the walk came upon."""

    NOTHING_YET = auto()
    END = auto()
    RUBBISH = auto()


_NOTHING_YET, _END, _RUBBISH = _Found  # looked up once: this is a hot place


class Splitter:
    """Collects the bytes of one MJPEG stream. Not to be shared between streams or threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._begun = False  # whether the buffer starts with an SOI
        self._in_scan = False  # whether the next byte belongs to entropy-coded data
        self._at = 0  # the next byte to look at

    @property
    def pending(self) -> bool:
        """Whether an image has begun whose end has not come."""
        return self._begun

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[bytes]:
        """Add bytes of the stream and return the JPEGs completed by them, oldest first, each from SOI to EOI inclusive.

        Chunk borders carry no meaning. Walks markers, so an EOI inside an Exif thumbnail or a length does not end the
        image. Bytes that cannot belong to a JPEG are dropped up to the next SOI. Raises `FrameTooLarge` when no EOI
        arrives within `limit_bytes`, and then goes on behind these bytes with the next call, which may be given
        nothing. Holds at most `limit_bytes` and one chunk. Amortised O(len(chunk)).
        """
        buffer = self._buffer
        frames: list[bytes] = []
        if not buffer and chunk[:3] == _SOI_AND_MARKER and len(chunk) <= self._limit_bytes:
            # As a rule a whole image comes in one piece: it is looked at where it lies, and copied once.
            self._begun, self._at = True, len(_SOI)
            if self._walk(chunk) is _END:
                frames.append(bytes(chunk[: self._at]))
                chunk = chunk[self._at :]
                self._begun = self._in_scan = False
                if not chunk:
                    return frames
        buffer += chunk
        while self._begun or self._seek_start():
            found = self._walk(buffer)
            at = self._at
            # How many bytes of the image it took to see that: so the limit means the same for every chunking.
            seen = at if found is _END else at + _SEGMENT_START if found is _RUBBISH else len(buffer) + 1
            if seen > self._limit_bytes:
                self._drop(self._limit_bytes)
                raise FrameTooLarge(self._limit_bytes, frames)
            if found is _NOTHING_YET:
                break
            if found is _END:
                with memoryview(buffer) as held:
                    frames.append(bytes(held[:at]))
            self._drop(at)
        return frames

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._begun = self._in_scan = False

    def _seek_start(self) -> bool:
        """Drop what lies before the next SOI; False if none is there, keeping what may be the beginning of one."""
        buffer = self._buffer
        start = buffer.find(_SOI_AND_MARKER) if buffer else -1
        if start < 0:
            kept = 2 if buffer.endswith(_SOI) else 1 if buffer.endswith(_SOI[:1]) else 0
            del buffer[: len(buffer) - kept]
            return False
        if start:
            del buffer[:start]
        self._begun, self._at = True, len(_SOI)
        return True

    def _walk(self, buffer: bytes | bytearray | memoryview) -> _Found:
        """Go on from `_at` to behind the end of the image, to rubbish, or to where more bytes are needed."""
        at, in_scan = self._at, self._in_scan
        filled = len(buffer)
        found = _NOTHING_YET
        while at + 2 <= filled:
            if in_scan:
                end = _END_OF_SCAN.search(buffer, at)
                if end is None:
                    at = filled - (buffer[-1] == _FF)
                    break
                at, in_scan = end.start(), False
            code = buffer[at + 1] if buffer[at] == _FF else 0
            if code == _EOI:
                at += 2
                found = _END
                break
            if code in _STANDING_ALONE:
                at += _STANDING_ALONE[code]
                continue
            if at + _SEGMENT_START > filled:
                break
            length = buffer[at + 2] << 8 | buffer[at + 3]
            if code not in _SEGMENTS or length < 2:
                found = _RUBBISH
                break
            at += 2 + length
            in_scan = code == _SOS
        self._at, self._in_scan = at, in_scan
        return found
