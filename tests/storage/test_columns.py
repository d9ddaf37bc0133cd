from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.storage.columns import transaction


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(tmp_path / "cache", isolation_level=None)
    database.execute("CREATE TABLE parents (name TEXT PRIMARY KEY)")
    database.execute(
        "CREATE TABLE children (parent TEXT NOT NULL REFERENCES parents DEFERRABLE INITIALLY DEFERRED, text TEXT)"
    )
    yield database
    database.close()


def test_a_full_disk_is_told_as_such_and_not_as_what_came_of_it(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA max_page_count = 8")
    rows = (("x", "y" * 1000) for _ in range(1000))
    with pytest.raises(sqlite3.OperationalError, match="full"), transaction(database):
        database.executemany("INSERT INTO children VALUES (?, ?)", rows)
    assert database.execute("SELECT count(*) FROM children").fetchone() == (0,)


def test_what_fails_at_its_very_end_does_not_keep_the_next_one_from_beginning(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError), transaction(database):
        database.execute("INSERT INTO children VALUES ('nobody', '')")
    with transaction(database):
        database.execute("INSERT INTO parents VALUES ('somebody')")
    assert database.execute("SELECT count(*) FROM children, parents").fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM parents").fetchone() == (1,)
