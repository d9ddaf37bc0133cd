"""The spool: where recorders write, one directory per run, until the archive takes the segments over.

The recorder writes `000000.mp4`, `000001.mp4` ..., `segments.csv` and `stderr.log` into it; `run.json` is ours and says
what runs there, so that the next agent can adopt the recorder or recover its footage. Nothing here touches a process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

from edge_agent.core.model import Now, Profile, Purpose, Run, RunRecord, Session
from edge_agent.core.segments import parse_run_id, start_offset_s
from edge_agent.durable import make_folder, sync_folder, write_durably
from edge_agent.storage.errors import storage_errors
from edge_agent.storage.fmp4 import walk
from edge_agent.storage.open_segment import OpenSegments, Synced
from edge_agent.storage.run_record import decode_record, encode_record
from edge_agent.storage.segment_list import SEGMENT_FILE, SegmentList
from edge_agent.storage.tree import opened, reader_of

RECORD_NAME = "run.json"
LIST_NAME = "segments.csv"
STDERR_NAME = "stderr.log"
_OURS = frozenset({RECORD_NAME, RECORD_NAME + ".tmp", LIST_NAME, LIST_NAME + ".tmp", STDERR_NAME})
SCRATCH_NAME = "tmp"
"""The folder in the spool where snapshots and clips are written before they get their names."""
_MAX_RECORD_BYTES = 1 << 20

RECOVERED_MODE = "recovered"
"""The mode of footage whose run record was lost."""


@dataclass(frozen=True, slots=True)
class SpooledSegment:
    """A segment file in the spool.

    `list_start_s` is the second of the stream at which it begins, None while unknown. `seen` is the first look with the
    file, `gone` the first at which it was closed; None where this agent did not witness it, as for files that it found
    at its start.
    """

    index: int
    path: Path
    list_start_s: float | None = None
    seen: Now | None = None
    gone: Now | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What a run's directory shows.

    `bytes_total` counts all bytes seen of the run, also those of segments that have left the spool: it grows as long as
    the camera delivers. `closed` are the segments to commit, oldest first; `open` is the one being written.
    """

    first_frame_seen: bool
    bytes_total: int
    closed: tuple[SpooledSegment, ...]
    open: SpooledSegment | None


class Spool:
    """All runs under `{root}/spool`. Making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.directory = root.absolute() / "spool"

    def create(self, record: RunRecord) -> SpoolRun:
        """Make the directory of a new run, its record written and synced. Raises `StorageError`."""
        run = SpoolRun(self.directory / record.run.run_id, record, found=False)
        with storage_errors("create", run.directory):
            make_folder(self.directory)
            run.directory.mkdir()
            try:
                write_durably(run.directory / RECORD_NAME, encode_record(record))
                sync_folder(self.directory)
            except OSError:
                _remove_without_footage(run.directory)
                raise
        return run

    def runs(self) -> list[SpoolRun]:
        """The runs that are found at a start, by sequence; call it once, before any `create`. Raises `StorageError`.

        A directory whose record is lost but whose name is a run id gets a record made up from what is there; any other
        is left as it is.
        """
        found: list[SpoolRun] = []
        with storage_errors("read", self.directory):
            for path in _folders(self.directory):
                if path.name == SCRATCH_NAME:
                    continue
                record = _read_record(path) or _made_up_record(path)
                if record is not None:
                    found.append(SpoolRun(path, record, found=True))
        return sorted(found, key=lambda run: run.record.run.sequence)


class SpoolRun:
    """One run's directory. `record` is what its `run.json` holds. `close` or `remove` it in the end."""

    def __init__(self, directory: Path, record: RunRecord, *, found: bool) -> None:
        self.directory = directory
        self.record = record
        self._list = SegmentList(self.list_path)
        self._sizes: dict[int, int] = {}
        self._segments: dict[int, SpooledSegment] = {}
        self._last_look: Now | None = None
        self._witnessed = not found
        self._open = OpenSegments(directory)

    @property
    def segment_pattern(self) -> str:
        """The recorder's printf pattern: absolute, `%06d` for the index, any other `%` doubled."""
        return str(self.directory).replace("%", "%%") + "/%06d.mp4"

    @property
    def list_path(self) -> Path:
        return self.directory / LIST_NAME

    @property
    def stderr_path(self) -> Path:
        return self.directory / STDERR_NAME

    def save(self, record: RunRecord) -> None:
        """Replace the run's record, synced. Raises `StorageError`."""
        with storage_errors("write", self.directory / RECORD_NAME):
            write_durably(self.directory / RECORD_NAME, encode_record(record))
        self.record = record

    def look(self, now: Now, *, finished: bool = False) -> Look:
        """See what the recorder has written until `now`; `finished` says that its process has gone.

        A segment is closed when the list names it, a later one exists, or the process has gone. Costs one scandir and
        a stat per uncommitted segment. Raises `StorageError`.
        """
        with storage_errors("read", self.directory):
            self._list.read_on()
            sizes = dict(_segment_sizes(self.directory))
        self._sizes.update(sizes)
        newest = max(sizes, default=-1)
        open_index = newest if newest >= 0 and not finished and newest not in self._list.spans else None
        self._segments = {index: self._noted(index, now, is_open=index == open_index) for index in sorted(sizes)}
        self._last_look, self._witnessed = now, True
        return Look(
            first_frame_seen=bool(self._sizes or self._list.spans),
            bytes_total=sum(self._sizes.values()),
            closed=tuple(segment for index, segment in self._segments.items() if index != open_index),
            open=None if open_index is None else self._segments[open_index],
        )

    def offset_s(self, spooled: SpooledSegment) -> float:
        """Seconds from the run's first frame to this segment's, as its commit would say if it came now."""
        first = self.record.first_frame or self.record.spawned
        seen_s = spooled.seen.mono_s - first.mono_s if spooled.seen else None
        return 0.0 if spooled.index == 0 else start_offset_s(spooled.list_start_s, None, seen_s)

    def sync_open(self) -> Synced:
        """Make what the recorder has written survive a power cut, and say how much of it plays.

        Syncs through descriptors of its own, so that the recorder notices nothing; works on what the last `look` saw.
        Raises `StorageError`, after which nothing more counts as verified than before.
        """
        with storage_errors("sync", self.directory):
            return self._open.sync(list(self._segments.values()), self.record.first_frame, self._last_look)

    def remove(self) -> bool:
        """Delete the directory if no footage is left in it. Whether it is gone; a stranger's file keeps it."""
        self.close()
        with storage_errors("remove", self.directory):
            return _remove_without_footage(self.directory)

    def close(self) -> None:
        """Let go of the descriptors that `sync_open` keeps. Safe at any time."""
        self._open.close()

    def _noted(self, index: int, now: Now, *, is_open: bool) -> SpooledSegment:
        """What is known of a segment file now, with what earlier looks witnessed of it."""
        noted = self._segments.get(index)
        if noted is None:
            noted = SpooledSegment(index, self.directory / f"{index:06d}.mp4")
            if self._witnessed:
                noted = replace(noted, seen=now)
        if not is_open and noted.gone is None and self._witnessed:
            noted = replace(noted, gone=now)
        start, _ = self._list.spans.get(index, (None, None))
        if start is None:
            _, start = self._list.spans.get(index - 1, (None, None))
        return replace(noted, list_start_s=start)


def _folders(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _segment_sizes(directory: Path) -> Iterator[tuple[int, int]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            match = SEGMENT_FILE.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                yield int(match[1]), entry.stat(follow_symlinks=False).st_size


def _read_record(directory: Path) -> RunRecord | None:
    try:
        with opened(directory / RECORD_NAME) as descriptor:
            record = decode_record(os.read(descriptor, _MAX_RECORD_BYTES))
    except (OSError, ValueError):
        return None
    return record if record.run.run_id == directory.name else None


def _made_up_record(directory: Path) -> RunRecord | None:
    """A record for a run whose own is lost: camera, sequence and start from its name, the picture from its footage."""
    name = parse_run_id(directory.name)
    if name is None:
        return None
    start = Now(0.0, name.started_at.astimezone(UTC))
    run = Run(name.run_id, name.sequence, name.camera, Purpose.RECORD, _picture(directory), RECOVERED_MODE)
    session = Session(name.run_id, RECOVERED_MODE, (name.camera,), 0, 0.0, None, start)
    return RunRecord(run, session, (), start)


def _picture(directory: Path) -> Profile:
    for index, size in sorted(_segment_sizes(directory)):
        with opened(directory / f"{index:06d}.mp4") as descriptor:
            track = walk(reader_of(descriptor), size).track
        if track and track.width and track.height:
            return Profile(track.width, track.height, fps=0)
    return Profile(640, 480, fps=0)


def _remove_without_footage(directory: Path) -> bool:
    try:
        names = {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        return True
    if names - _OURS:
        return False
    # The record goes last: until then a crash leaves a directory that the next start can read.
    for name in sorted(names, key=lambda name: name == RECORD_NAME):
        (directory / name).unlink()
    directory.rmdir()
    return True
