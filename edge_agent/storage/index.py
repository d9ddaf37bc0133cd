"""The cache of the archive's directory tree: an SQLite file that can be deleted at any time.

It holds one row per stored segment. Order is that of recording, from run and monotonic clock: `boot_sequence` is the
sequence of some run of the same boot, `mono_us` the microseconds of that boot until the segment's first frame. So the
runs of two cameras interleave as they were recorded, and no step of the wall clock changes the order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent.core.model import Segment
from edge_agent.core.retention import Candidate
from edge_agent.storage.columns import candidate, instant, microseconds, transaction
from edge_agent.storage.extras import SCHEMA, SCRATCH, Extras
from edge_agent.storage.metadata import Metadata

_SCHEMA_VERSION = 4
_SCHEMA = """
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, camera TEXT NOT NULL, mode TEXT NOT NULL, run_id TEXT NOT NULL,
    sequence INTEGER NOT NULL, number INTEGER NOT NULL, started_us INTEGER NOT NULL, duration_s REAL NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, label TEXT, boot_id TEXT NOT NULL, boot_sequence INTEGER NOT NULL,
    mono_us INTEGER NOT NULL, dated INTEGER NOT NULL, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    lock_labels TEXT, lock_inode INTEGER NOT NULL DEFAULT 0, uploaded INTEGER NOT NULL DEFAULT 0);
CREATE INDEX in_order ON segments (boot_sequence, mono_us, id);
CREATE INDEX by_camera ON segments (camera, boot_sequence, mono_us, id);
CREATE INDEX by_run ON segments (run_id, number);
CREATE INDEX by_boot ON segments (boot_id, boot_sequence);
CREATE INDEX by_start ON segments (started_us);
CREATE INDEX locked ON segments (boot_sequence, mono_us, id) WHERE lock_labels IS NOT NULL;
CREATE INDEX to_send ON segments (boot_sequence, mono_us, id) WHERE lock_labels IS NOT NULL AND NOT uploaded;
CREATE TEMP TABLE seen (path TEXT PRIMARY KEY, size_bytes INTEGER, mtime_ns INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE seen_lock (path TEXT PRIMARY KEY, inode INTEGER) WITHOUT ROWID;
CREATE TEMP TABLE seen_mark (path TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SEGMENT = (
    "path, camera, mode, run_id, sequence, number, started_us, duration_s, size_bytes, width, height, label,"
    " lock_labels, uploaded"
)
_CANDIDATE = (
    "path, boot_sequence, mono_us, id, size_bytes, started_us + CAST(duration_s * 1e6 AS INTEGER),"
    " lock_labels IS NOT NULL, dated, uploaded"
)
_TO_SEND = "lock_labels IS NOT NULL AND NOT uploaded"
_NEWEST_FIRST = "boot_sequence DESC, mono_us DESC, id DESC"
_OLDEST_FIRST = "boot_sequence, mono_us, id"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which segments a page shows; None does not filter.

    `start` and `end` keep what overlaps the window. `label` is a recording's or a lock's.
    """

    camera: str | None = None
    mode: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    locked: bool | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Segments, newest first, and the cursor of the page after; None at the end."""

    segments: tuple[Segment, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """The segments that the archive holds; `oldest_at` is the start of the one recorded first.

    `extra_bytes` is what snapshots and clips take beside them, `locked_extra_bytes` what of it a `.lock` protects.
    """

    count: int
    bytes: int
    locked_bytes: int
    oldest_at: datetime | None
    extra_bytes: int = 0
    locked_extra_bytes: int = 0


class Index:
    """The cache. Methods raise `sqlite3.Error` when the file is unusable; `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error:
            self._database.close()
            raise
        self.extras = Extras(self._database)
        """The snapshots and clips."""

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode = WAL")
        # WAL at NORMAL cannot be torn by a power cut; what it may lose is found by the next scan of the tree.
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA cache_size = -4096")
        if run("PRAGMA user_version").fetchone()[0] == _SCHEMA_VERSION:
            self._database.executescript(_SCHEMA[_SCHEMA.index("CREATE TEMP") :] + SCRATCH)
            return
        for (name,) in run("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            run(f'DROP TABLE "{name}"')
        self._database.executescript(_SCHEMA + SCHEMA + SCRATCH)
        run(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def close(self) -> None:
        self._database.close()

    def put(self, path: str, metadata: Metadata, size_bytes: int, mtime_ns: int) -> None:
        """Enter or replace a segment, not locked."""
        row = self._database.execute(
            "SELECT boot_sequence FROM segments WHERE boot_id = ? LIMIT 1", (metadata.boot_id,)
        ).fetchone()
        known_boot = row is not None and metadata.boot_id != ""
        self._database.execute(
            "INSERT OR REPLACE INTO segments (path, camera, mode, run_id, sequence, number, started_us, duration_s,"
            " width, height, label, boot_id, boot_sequence, mono_us, dated, size_bytes, mtime_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                path,
                metadata.camera,
                metadata.mode,
                metadata.run_id,
                metadata.sequence,
                metadata.index,
                microseconds(metadata.started_at),
                metadata.duration_s,
                metadata.width,
                metadata.height,
                metadata.label,
                metadata.boot_id,
                row[0] if known_boot else metadata.sequence,
                round(metadata.mono_s * 1e6),
                metadata.clock_synchronized is not False,
                size_bytes,
                mtime_ns,
            ),
        )

    def remove(self, path: str) -> None:
        self._database.execute("DELETE FROM segments WHERE path = ?", (path,))

    def set_lock(self, path: str, labels: tuple[str, ...], inode: int) -> None:
        """Note that a segment is locked under `labels`, or not (none, with inode 0)."""
        self._database.execute(
            "UPDATE segments SET lock_labels = ?, lock_inode = ? WHERE path = ?",
            ("\n".join(labels) if labels else None, inode, path),
        )

    def set_uploaded(self, path: str) -> None:
        """Note that a segment or a clip was sent elsewhere."""
        self._database.execute("UPDATE segments SET uploaded = 1 WHERE path = ?", (path,))
        self.extras.set_uploaded(path)

    def find(self, path: str) -> Segment | None:
        rows = self._segments("WHERE path = ?", (path,))
        return next(rows, None)

    def of_run(self, run_id: str, number: int) -> Segment | None:
        """A run's segment of this index."""
        return next(self._segments("WHERE run_id = ? AND number = ?", (run_id, number)), None)

    def newest_sequence(self) -> int:
        """The highest run sequence that any segment carries, 0 without footage."""
        return int(self._database.execute("SELECT coalesce(max(sequence), 0) FROM segments").fetchone()[0])

    def page(self, wanted: Filter, limit: int, cursor: str | None) -> Page:
        """Raises `ValueError` for a cursor that no page gave."""
        where, values = _conditions(wanted)
        if cursor is not None:
            where.append("(boot_sequence, mono_us, id) < (?, ?, ?)")
            values.extend(_read_cursor(cursor))
        rows = self._database.execute(
            f"SELECT {_SEGMENT}, boot_sequence, mono_us, id FROM segments"  # noqa: S608 (constants only)
            f"{' WHERE ' if where else ''}{' AND '.join(where)} ORDER BY {_NEWEST_FIRST} LIMIT ?",
            (*values, limit + 1),
        ).fetchall()
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(
            tuple(_segment(row) for row in rows),
            ".".join(str(part) for part in rows[-1][-3:]) if more and rows else None,
        )

    def window(self, wanted: Filter) -> tuple[Segment, ...]:
        """What passes the filter, oldest first."""
        where, values = _conditions(wanted)
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        return tuple(self._segments(f"{clause} ORDER BY {_OLDEST_FIRST}", values))

    def candidates(self, limit: int) -> list[Candidate]:
        """The oldest segments as retention sees them, oldest first; all for a limit of -1."""
        rows = self._database.execute(
            f"SELECT {_CANDIDATE} FROM segments ORDER BY {_OLDEST_FIRST} LIMIT ?",  # noqa: S608
            (limit,),
        )
        return [candidate(row) for row in rows]

    def count(self) -> int:
        """How many segments there are."""
        return int(self._database.execute("SELECT count(*) FROM segments").fetchone()[0])

    def usage(self) -> Usage:
        run = self._database.execute
        count, size = run("SELECT count(*), coalesce(sum(size_bytes), 0) FROM segments").fetchone()
        oldest = run(f"SELECT started_us FROM segments ORDER BY {_OLDEST_FIRST} LIMIT 1").fetchone()  # noqa: S608
        return Usage(count, size, self.locked_bytes(), instant(oldest[0]) if oldest else None, *self.extras.usage())

    def locked_bytes(self) -> int:
        row = self._database.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM segments WHERE lock_labels IS NOT NULL"
        ).fetchone()
        return int(row[0])

    def to_send(self, limit: int) -> tuple[Segment, ...]:
        """The oldest locked segments that were not sent elsewhere yet."""
        return tuple(self._segments(f"WHERE {_TO_SEND} ORDER BY {_OLDEST_FIRST} LIMIT ?", (limit,)))

    def left_to_send(self) -> tuple[int, int]:
        """How many locked segments were not sent elsewhere yet, and their bytes."""
        question = f"SELECT count(*), coalesce(sum(size_bytes), 0) FROM segments WHERE {_TO_SEND}"  # noqa: S608
        count, size_bytes = self._database.execute(question).fetchone()
        return count, size_bytes

    def compare(self, seen: Iterable[tuple[str, int, int]], locks: Iterable[tuple[str, int]]) -> Difference:
        """Set what a scan saw (path, size, mtime; and locked path, inode of the lock) against the cache.

        `locks` is consumed after `seen`. What was seen is kept in a temporary table, not in memory.
        """
        run = self._database.execute
        with self.group():
            run("DELETE FROM seen")
            run("DELETE FROM seen_lock")
            self._database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", seen)
            self._database.executemany("INSERT OR REPLACE INTO seen_lock VALUES (?, ?)", locks)
        gone = run("SELECT path FROM segments WHERE path NOT IN (SELECT path FROM seen)").fetchall()
        changed = run(
            "SELECT seen.path FROM seen LEFT JOIN segments USING (path) WHERE segments.path IS NULL"
            " OR segments.size_bytes != seen.size_bytes OR segments.mtime_ns != seen.mtime_ns ORDER BY seen.path"
        ).fetchall()
        return Difference([path for (path,) in gone], [path for (path,) in changed])

    def locks_to_read(self) -> list[tuple[str, int]]:
        """Segments whose lock came, changed or went by the last `compare`, with the lock's inode, 0 for none."""
        return self._database.execute(
            "SELECT segments.path, coalesce(inode, 0) FROM segments LEFT JOIN seen_lock USING (path)"
            " WHERE coalesce(inode, 0) != lock_inode"
        ).fetchall()

    def agree_uploaded(self, marked: Iterable[str]) -> None:
        """Call uploaded what has a mark by the last scan, and nothing else."""
        run = self._database.execute
        with self.group():
            run("DELETE FROM seen_mark")
            self._database.executemany("INSERT OR REPLACE INTO seen_mark VALUES (?)", ((path,) for path in marked))
            run(
                "UPDATE segments SET uploaded = path IN (SELECT path FROM seen_mark)"
                " WHERE uploaded != (path IN (SELECT path FROM seen_mark))"
            )

    def group(self) -> AbstractContextManager[None]:
        """Make the changes of a block one transaction, for speed."""
        return transaction(self._database)

    def _segments(self, clause: str, values: Iterable[object] = ()) -> Iterator[Segment]:
        rows = self._database.execute(f"SELECT {_SEGMENT} FROM segments {clause}", tuple(values))  # noqa: S608
        return (_segment(row) for row in rows.fetchall())


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths that only the cache knows, and paths that it does not know as they are."""

    gone: list[str]
    changed: list[str]


def _conditions(wanted: Filter) -> tuple[list[str], list[object]]:
    conditions: list[tuple[str, tuple[object, ...]]] = []
    if wanted.camera is not None:
        conditions.append(("camera = ?", (wanted.camera,)))
    if wanted.mode is not None:
        conditions.append(("mode = ?", (wanted.mode,)))
    if wanted.start is not None:
        conditions.append(("started_us + duration_s * 1e6 > ?", (microseconds(wanted.start),)))
    if wanted.end is not None:
        conditions.append(("started_us < ?", (microseconds(wanted.end),)))
    if wanted.locked is not None:
        conditions.append((f"lock_labels IS {'NOT ' if wanted.locked else ''}NULL", ()))
    if wanted.label is not None:
        # One of the lock's labels, which stand in lines of their own.
        among = "instr(char(10) || lock_labels || char(10), char(10) || ? || char(10)) > 0"
        conditions.append((f"(label = ? OR {among})", (wanted.label, wanted.label)))
    return [text for text, _ in conditions], [value for _, values in conditions for value in values]


def _read_cursor(cursor: str) -> list[int]:
    try:
        parts = [int(part) for part in cursor.split(".")]
    except ValueError:
        parts = []
    if len(parts) != 3 or any(abs(part) >= 1 << 63 for part in parts):
        raise ValueError(f"{cursor[:80]!r} is no cursor of a page")
    return parts


def _segment(row: tuple[Any, ...]) -> Segment:
    fields = list(row[:14])
    fields[6], fields[13] = instant(fields[6]), bool(fields[13])
    fields[12] = () if fields[12] is None else tuple(fields[12].split("\n"))
    return Segment(*fields)
