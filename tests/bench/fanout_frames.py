"""The frames of `fanout.py`: JPEGs of an exact size that say at both ends which they are and when they were written."""

from __future__ import annotations

import random
import re

STAMP = re.compile(rb"(\d{16})(\d{20})")
_STAMP_BYTES = 36
_HEAD = b"\xff\xd8\xff\xfe" + (_STAMP_BYTES + 2).to_bytes(2, "big")
# With a Huffman table, as from a camera: uStreamer puts one into frames that have none.
_SCAN = b"\xff\xdb\x00\x43" + bytes(65) + b"\xff\xc4\x00\x13" + bytes(17) + b"\xff\xda\x00\x08" + bytes(6)
_EOI = b"\xff\xd9"


class Pattern:
    """All frames of one run: the same noise, as dense in stuffed FF bytes as real ones, with another stamp each."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        noise = random.Random(seed).randbytes(size).replace(b"\xff", b"\xff\x00")
        room = size - len(_HEAD) - len(_SCAN) - 2 * _STAMP_BYTES - len(_EOI)
        self._middle = _SCAN + noise[: room - 1].rstrip(b"\xff").ljust(room, b"\x55")

    @classmethod
    def of(cls, frame: bytes) -> Pattern:
        """The pattern that `frame` was made from."""
        pattern = cls(len(frame), 0)
        pattern._middle = frame[len(_HEAD) + _STAMP_BYTES : -_STAMP_BYTES - len(_EOI)]
        return pattern

    def frame(self, number: int, written_ns: int) -> bytes:
        stamp = b"%016d%020d" % (number, written_ns)
        return b"".join((_HEAD, stamp, self._middle, stamp, _EOI))

    def read(self, buffer: bytearray, start: int) -> tuple[int, int] | None:
        """Number and write time of the frame at `start`, None if any byte of it is not as it was written."""
        end = start + self.size
        middle = start + len(_HEAD) + _STAMP_BYTES
        stamp = bytes(buffer[middle - _STAMP_BYTES : middle])
        whole = (
            buffer.startswith(_HEAD, start)
            and buffer.startswith(self._middle, middle)
            and buffer.startswith(stamp + _EOI, end - _STAMP_BYTES - len(_EOI))
        )
        found = STAMP.fullmatch(stamp) if whole else None
        return (int(found[1]), int(found[2])) if found else None
