"""The cache's table of snapshots and clips: what was made of footage on request, and takes its turn in retention.

They have no run and no index. One that is stored now stands behind the newest segment; one that a scan finds, behind
the newest segment that had begun when it was made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from edge_agent.core.retention import Candidate
from edge_agent.storage.columns import candidate, microseconds, transaction

SCHEMA = """
CREATE TABLE extras (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, boot_sequence INTEGER NOT NULL, mono_us INTEGER NOT NULL,
    made_us INTEGER NOT NULL, size_bytes INTEGER NOT NULL, dated INTEGER NOT NULL, locked INTEGER NOT NULL DEFAULT 0,
    uploaded INTEGER NOT NULL DEFAULT 0);
CREATE INDEX extras_in_order ON extras (boot_sequence, mono_us, id);
"""
SCRATCH = """
CREATE TEMP TABLE seen_extra (
    path TEXT PRIMARY KEY, made_us INTEGER, size_bytes INTEGER, locked INTEGER, uploaded INTEGER);
"""
_PLACE = "SELECT boot_sequence, mono_us FROM segments"
_NEWEST = f"{_PLACE} ORDER BY boot_sequence DESC, mono_us DESC LIMIT 1"
_BEGUN_BY = f"{_PLACE} WHERE started_us <= ? ORDER BY started_us DESC LIMIT 1"


class Extras:
    """The table in an open cache; a part of `Index`. Methods raise `sqlite3.Error`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def put(self, path: str, made_at: datetime, size_bytes: int, *, dated: bool) -> None:
        """Enter one that was stored now. `dated` False: `made_at` is by a clock that was known to be wrong."""
        place = self._database.execute(_NEWEST).fetchone() or (0, 0)
        self._enter(path, place, (microseconds(made_at), size_bytes, dated, False, False))

    def remove(self, path: str) -> None:
        self._database.execute("DELETE FROM extras WHERE path = ?", (path,))

    def set_locked(self, path: str) -> None:
        """Note that a `.lock` lies beside it."""
        self._database.execute("UPDATE extras SET locked = 1 WHERE path = ?", (path,))

    def set_uploaded(self, path: str) -> None:
        """Note that it was sent elsewhere."""
        self._database.execute("UPDATE extras SET uploaded = 1 WHERE path = ?", (path,))

    def usage(self) -> tuple[int, int]:
        """The bytes of all, and of those that are locked."""
        totals = "SELECT coalesce(sum(size_bytes), 0), coalesce(sum(size_bytes * locked), 0) FROM extras"
        every, locked = self._database.execute(totals).fetchone()
        return int(every), int(locked)

    def oldest(self, limit: int) -> list[Candidate]:
        """The oldest as retention sees them, oldest first; all for a limit of -1."""
        rows = self._database.execute(
            "SELECT path, boot_sequence, mono_us, id, size_bytes, made_us, locked, dated, uploaded FROM extras"
            " ORDER BY boot_sequence, mono_us, id LIMIT ?",
            (limit,),
        )
        return [candidate(row, extra=True) for row in rows]

    def reconcile(self, seen: Iterable[tuple[str, datetime, int, bool, bool]]) -> None:
        """Make the table agree with a scan: path, when it was made, size, and whether it is locked and uploaded."""
        run = self._database.execute
        with transaction(self._database):
            run("DELETE FROM seen_extra")
            rows = ((path, microseconds(at), *facts) for path, at, *facts in seen)
            self._database.executemany("INSERT OR REPLACE INTO seen_extra VALUES (?, ?, ?, ?, ?)", rows)
            run("DELETE FROM extras WHERE path NOT IN (SELECT path FROM seen_extra)")
            run(
                "UPDATE extras SET (size_bytes, locked, uploaded) ="
                " (SELECT size_bytes, locked, uploaded FROM seen_extra WHERE seen_extra.path = extras.path)"
            )
            new = run(
                "SELECT path, made_us, size_bytes, locked, uploaded FROM seen_extra"
                " WHERE path NOT IN (SELECT path FROM extras) ORDER BY made_us, path"
            ).fetchall()
            for path, made_us, size_bytes, locked, uploaded in new:
                place = run(_BEGUN_BY, (made_us,)).fetchone() or (0, 0)
                self._enter(path, place, (made_us, size_bytes, True, locked, uploaded))

    def _enter(self, path: str, place: tuple[int, int], facts: tuple[int, int, bool, bool, bool]) -> None:
        """`facts` are when it was made in microseconds, its size, and whether it is dated, locked and uploaded."""
        self._database.execute(
            "INSERT OR REPLACE INTO extras"
            " (path, boot_sequence, mono_us, made_us, size_bytes, dated, locked, uploaded)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (path, *place, *facts),
        )
