"""How a segment gets from the spool to its dated name. Any step may be the last before a crash; all can be repeated.

1. The torn tail is cut off. 2. The box with the segment's description is appended. 3. The file is synced. 4. It gets
its dated name beside the old one. 5. The folder is synced: this is the commit. 6. The old name goes.

A crash in step 2 leaves a torn tail, one after it a box that the next try finds; the name is made from the box, so the
next try makes the same one. A crash after step 4 leaves two names of one inode, of which the next try drops the old.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edge_agent.core.model import RunRecord
from edge_agent.core.segments import believed_duration_s, is_archive_path, start_instant, start_offset_s
from edge_agent.durable import sync_folder, write_all
from edge_agent.storage.fmp4 import Walk, walk
from edge_agent.storage.metadata import Metadata, digest, encode_box, read_box
from edge_agent.storage.spool import SpooledSegment
from edge_agent.storage.tree import move_without_replacing, opened, opened_folder, reader_of, unlink_if_there

MAX_SERIAL = 10_000
"""Names tried for segments that start in the same second. A clock that loops over a second for days is not expected."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A complete segment: what it says of itself, and the facts of its file."""

    metadata: Metadata
    size_bytes: int
    mtime_ns: int


def seal(path: Path, describe: Callable[[Walk], Metadata]) -> Sealed | None:
    """Steps 1 to 3. None, and the file untouched, when nothing in it plays. Raises `OSError`.

    `describe` is asked only for a file without a description.
    """
    with opened(path, flags=os.O_RDWR) as descriptor:
        read, size = reader_of(descriptor), os.fstat(descriptor).st_size
        whole = walk(read, size)
        if not whole.playable:
            return None
        metadata = read_box(read, size) if whole.end == size else None
        if metadata is None:
            metadata = replace(describe(whole), sha256=digest(read, whole.end))
            if whole.end < size:
                os.ftruncate(descriptor, whole.end)
            os.lseek(descriptor, whole.end, os.SEEK_SET)
            write_all(descriptor, encode_box(metadata))
        os.fsync(descriptor)
        facts = os.fstat(descriptor)
    return Sealed(metadata, facts.st_size, facts.st_mtime_ns)


def place(root: Path, source: Path, name: Callable[[int], PurePosixPath]) -> PurePosixPath:
    """Steps 4 to 6 for any finished file: give it the first free of the names `name(0)`, `name(1)` ...

    Returns the path relative to the root. Raises `OSError`.
    """
    with opened_folder(root, name(0).parent, create=True) as folder:
        chosen = _earlier_name(source, folder, name(0).parent) or _take_name(source, folder, name)
        os.fsync(folder)
    unlink_if_there(source)
    sync_folder(source.parent)
    return name(0).with_name(chosen)


def describe(
    record: RunRecord,
    spooled: SpooledSegment,
    whole: Walk,
    previous_end_s: float | None,
    clock_synchronized: bool | None,
) -> Metadata:
    """What a segment shall say of itself. `previous_end_s` counts from the run's first frame, None when unknown."""
    run, first = record.run, record.first_frame or record.spawned
    offset_s = start_offset_s(
        spooled.list_start_s,
        0.0 if spooled.index == 0 else previous_end_s,
        spooled.seen.mono_s - first.mono_s if spooled.seen else None,
    )
    gone_s = spooled.gone.mono_s - first.mono_s if spooled.gone else None
    return Metadata(
        run_id=run.run_id,
        sequence=run.sequence,
        index=spooled.index,
        camera=run.camera,
        mode=run.mode,
        label=record.session.label,
        started_at=start_instant(first.wall, offset_s),
        duration_s=round(believed_duration_s(whole.duration_s, offset_s, gone_s), 6),
        width=run.profile.width,
        height=run.profile.height,
        fps=run.profile.fps,
        boot_id=record.process.boot_id if record.process else "",
        mono_s=first.mono_s + offset_s,
        clock_synchronized=clock_synchronized,
        session=record.session.id,
    )


def _take_name(source: Path, folder: int, name: Callable[[int], PurePosixPath]) -> str:
    for serial in range(MAX_SERIAL):
        if move_without_replacing(source, folder, name(serial).name):
            return name(serial).name
    raise FileExistsError(f"no free name for {name(0)}")


def _earlier_name(source: Path, folder: int, parent: PurePosixPath) -> str | None:
    """The name that an interrupted try has already given the file in this folder."""
    facts = os.lstat(source)
    if facts.st_nlink < 2:
        return None
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.inode() == facts.st_ino and is_archive_path(str(parent / entry.name)):
                return entry.name
    return None
