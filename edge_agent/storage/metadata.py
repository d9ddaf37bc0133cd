"""The box at the end of every stored segment, with which the file describes itself.

A top-level `uuid` box: players skip what they do not know. Its content is 16 bytes of identity, JSON, and its own size
once more, so that it can be read from the file's end. The index is rebuilt from these boxes alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from edge_agent.storage.fmp4 import Read, last_box

BOX_UUID = UUID("7f0c2b5e-6a44-4c0b-9f0e-5b1acb0e6d01").bytes
MAX_BOX_BYTES = 4096
VERSION = 1
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a stored segment says of itself.

    `boot_id` and `mono_s` place its first frame on the monotonic clock of one boot, which orders footage whatever the
    wall clock did; `boot_id` is empty where no process was recorded. `clock_synchronized` None means unknown. Runs of
    one `session` belong to one recording, from its start to its stop: what lies between them is a gap by fault, not by
    command. Empty where it was not noted. `sha256` is of all bytes before the box, in hex; empty where not noted.
    """

    run_id: str
    sequence: int
    index: int
    camera: str
    mode: str
    label: str | None
    started_at: datetime
    duration_s: float
    width: int
    height: int
    fps: int
    boot_id: str
    mono_s: float
    clock_synchronized: bool | None
    session: str = ""
    sha256: str = ""


def digest(read: Read, end: int) -> str:
    """The SHA-256 of what lies before `end`. Reads all of it: 0.1 s for a minute of 1080p on a slow core."""
    found = hashlib.sha256()
    for offset in range(0, end, _READ_BYTES):
        found.update(read(offset, min(_READ_BYTES, end - offset)))
    return found.hexdigest()


def encode_box(metadata: Metadata) -> bytes:
    """The whole box, ready to append."""
    document = {"v": VERSION, **{name: getattr(metadata, name) for name in Metadata.__slots__}}
    document["started_at"] = metadata.started_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = json.dumps(document).encode()
    length = struct.pack(">I", 8 + len(BOX_UUID) + len(text) + 4)
    return length + b"uuid" + BOX_UUID + text + length


def box_bytes(read: Read, size: int) -> int:
    """The length of the file's last box if it is a description, 0 if it is none."""
    box = last_box(read, size, b"uuid", MAX_BOX_BYTES)
    return 0 if box is None or not box[1].startswith(BOX_UUID) else size - box[0]


def read_box(read: Read, size: int) -> Metadata | None:
    """What the file's last box says; None when it is not ours, torn, or of a newer version."""
    box = last_box(read, size, b"uuid", MAX_BOX_BYTES)
    if box is None or not box[1].startswith(BOX_UUID):
        return None
    try:
        document = json.loads(box[1][len(BOX_UUID) : -4])
        return _decode(document) if document["v"] == VERSION else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _decode(document: dict[str, Any]) -> Metadata:
    started_at = datetime.fromisoformat(document["started_at"])
    numbers = float(document["duration_s"]), float(document["mono_s"])
    if started_at.tzinfo is None or not all(math.isfinite(number) for number in numbers):
        raise ValueError("not a description of a segment")
    return Metadata(
        run_id=str(document["run_id"]),
        sequence=int(document["sequence"]),
        index=int(document["index"]),
        camera=str(document["camera"]),
        mode=str(document["mode"]),
        label=None if document["label"] is None else str(document["label"]),
        started_at=started_at.astimezone(UTC),
        duration_s=numbers[0],
        width=int(document["width"]),
        height=int(document["height"]),
        fps=int(document["fps"]),
        boot_id=str(document["boot_id"]),
        mono_s=numbers[1],
        clock_synchronized=document["clock_synchronized"],
        session=str(document.get("session", "")),
        sha256=str(document.get("sha256", "")),
    )
