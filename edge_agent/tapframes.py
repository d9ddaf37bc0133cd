"""How a child that copies a recording tells the agent what it sends: one kind, one instant, one payload a frame.

Pure: bytes in, frames out. The child packs, the agent parses; nobody here knows H.264 or MP4.

A stream is one TYPE, one INIT and then fragments; the first fragment begins with a key frame. Another TYPE on the same
pipe begins another stream (the recorder was restarted, or its picture has another size): what was kept of the one
before is of no more use.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum

_HEADER = struct.Struct(">cQI")

MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
"""More than any fragment of one picture can have; what claims to be longer is no frame."""


class Kind(Enum):
    """What a frame carries."""

    TYPE = b"m"
    """The MIME type for Media Source Extensions, ASCII."""
    INIT = b"i"
    """The initialization segment: ftyp and moov."""
    KEY = b"k"
    """A fragment (moof and mdat) that begins with a key frame: a viewer may begin here."""
    FRAGMENT = b"f"
    """A fragment that needs the ones before it, back to the last `KEY`."""


@dataclass(frozen=True, slots=True)
class TapFrame:
    """One frame.

    `arrived_us` is the wall clock, in microseconds since the epoch, at which the first byte of the fragment's picture
    came from the recorder; 0 where that has no meaning.
    """

    kind: Kind
    arrived_us: int
    payload: bytes = field(repr=False)


class BadFraming(Exception):
    """The bytes are no frames; nothing that follows can be read."""


def pack(frame: TapFrame) -> bytes:
    """The bytes of a frame as they go through the pipe."""
    return _HEADER.pack(frame.kind.value, frame.arrived_us, len(frame.payload)) + frame.payload


class TapFrames:
    """The parser of the reading side. Chunk borders carry no meaning."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[TapFrame]:
        """Add bytes and return the frames completed by them, oldest first.

        Raises `BadFraming` for an unknown kind or a length over `MAX_PAYLOAD_BYTES`.
        """
        self._buffer += chunk
        frames = []
        start = 0
        while len(self._buffer) - start >= _HEADER.size:
            letter, arrived_us, length = _HEADER.unpack_from(self._buffer, start)
            if length > MAX_PAYLOAD_BYTES:
                raise BadFraming(f"a frame of {length} bytes")
            end = start + _HEADER.size + length
            if len(self._buffer) < end:
                break
            try:
                kind = Kind(letter)
            except ValueError:
                raise BadFraming(f"unknown kind {letter!r}") from None
            frames.append(TapFrame(kind, arrived_us, bytes(self._buffer[start + _HEADER.size : end])))
            start = end
        del self._buffer[:start]
        return frames
