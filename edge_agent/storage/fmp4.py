"""A walk over the boxes of a fragmented MP4 that may be torn, growing or no MP4 at all.

Sans-I/O: bytes come from a `Read`, so that the same walk serves a file, a mapping and a test's bytes. It reads box
headers, the `moov` and each `moof`, never an `mdat`. It does not judge the codec and knows nothing of names.

A fragment is a `moof` directly followed by its `mdat`; rpicam-vid writes one per group of pictures. With the muxer
flag `delay_moov` the file stays empty until the first of them is complete. Sources: ISO/IEC 14496-12 section 8.8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

Read = Callable[[int, int], bytes]
"""`read(offset, length)`: the bytes there, fewer at the end of the file."""

MAX_HEADER_BOX_BYTES = 1 << 20
"""The largest `moov` or `moof` that is read. A group of 30 pictures needs 224 bytes, so a larger box is rubbish."""
MAX_BOXES = 200_000
"""Top-level boxes per walk: a day in one file with a fragment a second. A walk that hits it can be continued."""

_HEADER = struct.Struct(">I4s")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Track:
    """The picture track as the `moov` declares it. The defaults count where a fragment does not say otherwise."""

    id: int
    timescale: int
    width: int
    height: int
    default_duration: int = 0
    default_size: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a file is whole, and what is in that part.

    `end` is the offset behind the last whole top-level box; a `moof` counts only together with its `mdat`. A next walk
    goes on there, and what lies behind it in a file that no longer grows is a torn tail. `media_end` is the offset
    behind the last whole fragment. `first_ticks` and `last_ticks` bound the decode time of all samples in units of the
    track's timescale.
    """

    end: int = 0
    media_end: int = 0
    track: Track | None = None
    fragments: int = 0
    samples: int = 0
    first_ticks: int = 0
    last_ticks: int = 0

    @property
    def playable(self) -> bool:
        """Whether a player would show at least one picture."""
        return self.samples > 0

    @property
    def duration_s(self) -> float:
        """Seconds from the first sample to the end of the last whole one."""
        return (self.last_ticks - self.first_ticks) / self.track.timescale if self.track else 0.0


def walk(read: Read, size: int, since: Walk | None = None) -> Walk:
    """Walk the boxes of a file of `size` bytes, or go on where `since` ended.

    Stops at the first box that is not whole or makes no sense; never raises for what the bytes say. Work is bounded by
    `size` and by `MAX_BOXES`; an `mdat` costs 8 bytes of reading.
    """
    found = since or Walk()
    for _ in range(MAX_BOXES):
        box = _box(read, found.end, size)
        if box is None:
            return found
        kind, body, end = box
        step: Walk | None = replace(found, end=end)
        if kind == b"moof":
            step = _fragment(read, found, box, size)
        elif kind == b"moov" and found.track is None:
            track = _track(_content(read, body, end))
            step = replace(found, end=end, track=track) if track else None
        if step is None:
            return found
        found = step
    return found


def reader(data: bytes) -> Read:
    """A `Read` over bytes in memory."""
    return lambda offset, length: data[offset : offset + length]


def last_box(read: Read, size: int, kind: bytes, limit: int) -> tuple[int, bytes] | None:
    """The offset and content of the box of `kind` that ends the file, if its content ends with its own size.

    Lets a trailing box be found without a walk: its last 4 bytes repeat its size, at most `limit` bytes.
    """
    tail = read(max(0, size - limit), min(size, limit))
    if len(tail) < 12:
        return None
    length = _U32.unpack_from(tail, len(tail) - 4)[0]
    start = len(tail) - length
    if length < 12 or start < 0 or _HEADER.unpack_from(tail, start) != (length, kind):
        return None
    return size - length, tail[start + 8 :]


def _box(read: Read, offset: int, size: int) -> tuple[bytes, int, int] | None:
    """The kind, start of content and end of the box at `offset`, if it lies wholly within `size` bytes."""
    header = read(offset, 16)
    if len(header) < 8:
        return None
    length, kind = _HEADER.unpack_from(header)
    body = offset + 8
    if length == 1:
        if len(header) < 16:
            return None
        length = _U64.unpack_from(header, 8)[0]
        body = offset + 16
    # A size of 0 means "to the end of the file" and is what a hole in a file looks like too: neither is whole.
    if offset + length < body or offset + length > size or not kind.isascii():
        return None
    return kind, body, offset + length


def _content(read: Read, body: int, end: int) -> bytes:
    length = end - body
    return read(body, length) if 0 < length <= MAX_HEADER_BOX_BYTES else b""


def _fragment(read: Read, found: Walk, moof: tuple[bytes, int, int], size: int) -> Walk | None:
    mdat = _box(read, moof[2], size)
    if found.track is None or mdat is None or mdat[0] != b"mdat":
        return None
    content = _content(read, moof[1], moof[2])
    if not content:
        return None
    start, ticks, samples, sample_bytes = _run_of_samples(content, found.track, found.last_ticks)
    if max(sample_bytes, samples) > mdat[2] - mdat[1]:
        return None  # promises more than it holds: damaged
    end = mdat[2]
    if samples == 0:
        return replace(found, end=end)
    return replace(
        found,
        end=end,
        media_end=end,
        fragments=found.fragments + 1,
        samples=found.samples + samples,
        first_ticks=start if found.samples == 0 else found.first_ticks,
        last_ticks=max(found.last_ticks, start + ticks) if found.samples else start + ticks,
    )


def _inside(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The content of every box of kind `wanted` directly within `data`; ends at the first that does not fit."""
    offset = 0
    while offset + 8 <= len(data):
        length, kind = _HEADER.unpack_from(data, offset)
        if length < 8 or offset + length > len(data):
            return
        if kind == wanted:
            yield data[offset + 8 : offset + length]
        offset += length


def _first(data: bytes, *path: bytes) -> bytes:
    """The content of the first box at `path`, empty if there is none."""
    for kind in path:
        data = next(_inside(data, kind), b"")
    return data


def _track(moov: bytes) -> Track | None:
    for trak in _inside(moov, b"trak"):
        if _first(trak, b"mdia", b"hdlr")[8:12] == b"vide":
            return _declared(trak, _first(moov, b"mvex"))
    return None


def _declared(trak: bytes, mvex: bytes) -> Track | None:
    mdhd, tkhd = _first(trak, b"mdia", b"mdhd"), _first(trak, b"tkhd")
    long = mdhd[:1] == b"\x01", tkhd[:1] == b"\x01"
    timescale, track_id = _u32(mdhd, 20 if long[0] else 12), _u32(tkhd, 20 if long[1] else 12)
    if timescale == 0 or track_id == 0:
        return None
    sides = 88 if long[1] else 76  # 16.16 fixed point
    track = Track(track_id, timescale, _u32(tkhd, sides) >> 16, _u32(tkhd, sides + 4) >> 16)
    for trex in _inside(mvex, b"trex"):
        if _u32(trex, 4) == track_id:
            return replace(track, default_duration=_u32(trex, 12), default_size=_u32(trex, 16))
    return track


def _run_of_samples(moof: bytes, track: Track, expected_start: int) -> tuple[int, int, int, int]:
    """First decode time, duration in ticks, number and bytes of the samples of the track's `traf` boxes."""
    start, ticks, samples, sample_bytes = -1, 0, 0, 0
    for traf in _inside(moof, b"traf"):
        tfhd = _first(traf, b"tfhd")
        if _u32(tfhd, 4) != track.id:
            continue
        duration, length = _fragment_defaults(tfhd, track)
        tfdt = _first(traf, b"tfdt")
        if start < 0 and tfdt:
            start = _u64(tfdt, 4) if tfdt[0] == 1 else _u32(tfdt, 4)
        for trun in _inside(traf, b"trun"):
            more = _samples(trun, duration, length)
            ticks, samples, sample_bytes = ticks + more[0], samples + more[1], sample_bytes + more[2]
    return (start if start >= 0 else expected_start), ticks, samples, sample_bytes


def _fragment_defaults(tfhd: bytes, track: Track) -> tuple[int, int]:
    flags, offset = _u32(tfhd, 0) & 0xFFFFFF, 8
    offset += 8 * bool(flags & 0x1) + 4 * bool(flags & 0x2)
    duration, length = track.default_duration, track.default_size
    if flags & 0x8:
        duration, offset = _u32(tfhd, offset), offset + 4
    if flags & 0x10:
        length = _u32(tfhd, offset)
    return duration, length


def _samples(trun: bytes, duration: int, length: int) -> tuple[int, int, int]:
    """Ticks, number and bytes of one `trun`; zeros when it does not hold as many samples as it says."""
    flags, count = _u32(trun, 0) & 0xFFFFFF, _u32(trun, 4)
    first = 8 + 4 * bool(flags & 0x1) + 4 * bool(flags & 0x4)
    per_sample = [bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800)]
    width = 4 * sum(per_sample)
    if first + count * width > len(trun):
        return 0, 0, 0
    if not (per_sample[0] or per_sample[1]):
        return duration * count, count, length * count
    values = struct.unpack_from(f">{count * sum(per_sample)}I", trun, first)
    stride = sum(per_sample)
    ticks = sum(values[0::stride]) if per_sample[0] else duration * count
    sizes = sum(values[int(per_sample[0]) :: stride]) if per_sample[1] else length * count
    return ticks, count, sizes


def _u32(data: bytes, offset: int) -> int:
    return _U32.unpack_from(data, offset)[0] if len(data) >= offset + 4 else 0


def _u64(data: bytes, offset: int) -> int:
    return _U64.unpack_from(data, offset)[0] if len(data) >= offset + 8 else 0
