"""Whether a stored segment is what it should be: looked at from its first box to its description, without decoding.

Read only. It finds what a power cut, a bad card or a hand can do to a file: parts that are cut off, overwritten, zeroed
or unreadable; and, where every byte is read, any bit that is not as it was stored.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_agent.core.gaps import Piece
from edge_agent.core.model import Profile
from edge_agent.core.segments import parse_segment_path, segment_path
from edge_agent.storage.fmp4 import Read, Walk, walk
from edge_agent.storage.metadata import Metadata, box_bytes, digest, read_box
from edge_agent.storage.tree import opened, opened_folder, reader_of

_HEADER = struct.Struct(">I4s")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in one file. `damage` None: it is sound. `facts` None: it does not say what it is."""

    path: str
    size_bytes: int
    damage: str | None
    facts: Metadata | None
    frames: int = 0

    def piece(self) -> Piece | None:
        """The segment for the search for gaps; None where nothing is known of it."""
        facts = self.facts
        if facts is None:
            return None
        return Piece(
            camera=facts.camera,
            path=self.path,
            sequence=facts.sequence,
            index=facts.index,
            session=facts.session,
            boot_id=facts.boot_id,
            mode=facts.mode,
            size=(facts.width, facts.height),
            started_at=facts.started_at,
            mono_s=facts.mono_s,
            duration_s=facts.duration_s,
        )


def check_segment(root: Path, path: str, *, every_byte: bool = False) -> Checked:
    """Look at one stored segment. Blocking; raises nothing for what a disk can do.

    Reads box and picture headers, a few per cent of the file; with `every_byte` all of it, which finds every changed
    bit and sectors that cannot be read, and takes as long as the disk needs.
    """
    place = PurePosixPath(path)
    try:
        with opened_folder(root, place.parent) as folder, opened(place.name, folder) as descriptor:
            size = os.fstat(descriptor).st_size
            read = reader_of(descriptor)
            whole, facts = walk(read, size), read_box(read, size)
            damage = _damage(read, size, whole, facts, every_byte=every_byte) or _named_otherwise(place, facts)
            if every_byte:  # the recorder needs the memory more
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except FileNotFoundError:
        return Checked(path, 0, "went away while it was looked for", None)
    except OSError as error:
        return Checked(path, 0, f"cannot be read: {error.strerror or error}", None)
    return Checked(path, size, damage, facts, whole.samples)


def _damage(read: Read, size: int, whole: Walk, facts: Metadata | None, *, every_byte: bool) -> str | None:
    if size == 0:
        return "is empty"
    if whole.track is None:
        return "does not begin like a segment: its header is damaged"
    if not whole.playable:
        return "holds no whole picture"
    if whole.end < size:
        return f"makes no sense from byte {whole.end} of {size} on: {whole.duration_s:.1f} s before that can be played"
    if facts is None:
        return "does not end with its description: it was cut off between two fragments, or is not ours"
    at = _first_bad_unit(read, whole.end, every_byte=every_byte)
    if at is not None:
        return f"has damaged pictures from byte {at} of {size} on"
    if every_byte and facts.sha256 and facts.sha256 != digest(read, size - box_bytes(read, size)):
        return "has changed since it was stored: its SHA-256 is not the one that it was stored with"
    if (whole.track.width, whole.track.height) != (facts.width, facts.height):
        return f"shows {whole.track.width}x{whole.track.height} and says {facts.width}x{facts.height}"
    return None


def _named_otherwise(place: PurePosixPath, facts: Metadata | None) -> str | None:
    name = parse_segment_path(place)
    if facts is None or name is None:
        return None
    profile = Profile(facts.width, facts.height, facts.fps)
    ours = segment_path(facts.camera, profile, facts.started_at, name.serial)
    return None if ours == place else f"was stored as {ours}, it is a copy or was renamed"


def _first_bad_unit(read: Read, end: int, *, every_byte: bool) -> int | None:
    """Where the first part of a picture lies that makes no sense; None when all do.

    An `mdat` holds one unit of H.264 after the other, each behind its length in 4 bytes (ISO/IEC 14496-15, 5.3), so
    that a zeroed or overwritten stretch breaks the chain.
    """
    offset = 0
    while offset < end:
        length, kind = _HEADER.unpack(read(offset, 8))
        body = offset + 8
        if length == 1:
            length, body = struct.unpack(">Q", read(body, 8))[0], body + 8
        if kind == b"mdat":
            bad = _chain_breaks(read, body, offset + length, every_byte=every_byte)
            if bad is not None:
                return bad
        offset += length
    return None


def _chain_breaks(read: Read, body: int, end: int, *, every_byte: bool) -> int | None:
    while body < end:
        unit = _LENGTH.unpack(read(body, 4))[0] if body + 4 <= end else 0
        if unit == 0 or body + 4 + unit > end:
            return body
        # No unit holds three zeros in a row: the encoder writes a 3 between them (ISO/IEC 14496-10, 7.4.1).
        if every_byte and (zeros := read(body + 4, unit).find(bytes(3))) >= 0:
            return body + 4 + zeros
        body += 4 + unit
    return None
