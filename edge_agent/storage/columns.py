"""How the cache's tables are written: all or nothing, instants as microseconds, and the columns for retention."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from edge_agent.core.retention import Candidate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CandidateRow = tuple[str, int, int, int, int, int, int, int, int]
"""Path, the three numbers of its order, size in bytes, end in microseconds, and 0 or 1: locked, dated, uploaded."""


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Make the changes of a block together, or none of them: also where what it writes cannot be read."""
    database.execute("BEGIN")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk has SQLite take all back by itself
            database.execute("ROLLBACK")
        raise


def microseconds(at: datetime) -> int:
    """An instant as the tables hold it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """The instant in a column; the last one there is for what lies beyond it, as a damaged cache may say."""
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def candidate(row: CandidateRow, *, extra: bool = False) -> Candidate:
    """What a row is to retention; an `extra` is a snapshot or a clip."""
    path, boot, mono, number, size_bytes, ended_us, locked, dated, uploaded = row
    return Candidate(
        path,
        (boot, mono, number),
        size_bytes,
        instant(ended_us),
        locked=bool(locked),
        dated=bool(dated),
        extra=extra,
        uploaded=bool(uploaded),
    )
