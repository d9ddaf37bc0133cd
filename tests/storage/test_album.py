from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.core.segments import parse_snapshot_path, snapshot_path
from edge_agent.storage.album import newest_snapshots

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _put(root: Path, camera: str, minute: int) -> str:
    path = str(snapshot_path(camera, NOON + timedelta(minutes=minute)))
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"x" * (minute + 1))
    return path


def test_the_newest_pictures_of_all_cameras_come_first(tmp_path: Path) -> None:
    paths = [_put(tmp_path, camera, minute) for minute, camera in enumerate(("cam0", "cam1", "comparison"))]
    found = newest_snapshots(tmp_path, 2)
    assert [one.path for one in found] == paths[:0:-1]
    assert (found[0].camera, found[0].taken_at, found[0].size_bytes) == ("comparison", NOON + timedelta(minutes=2), 3)


def test_links_and_files_of_other_names_are_passed_over(tmp_path: Path) -> None:
    path = _put(tmp_path, "cam0", 0)
    (tmp_path / "snapshots/cam0/notes.txt").write_text("mine")
    (tmp_path / snapshot_path("cam0", NOON + timedelta(hours=1))).symlink_to(tmp_path / path)
    assert [one.path for one in newest_snapshots(tmp_path, 10)] == [path]


def test_an_archive_without_snapshots_has_none(tmp_path: Path) -> None:
    assert newest_snapshots(tmp_path, 10) == ()


def test_a_snapshot_s_name_is_read_as_it_was_built() -> None:
    assert parse_snapshot_path(str(snapshot_path("cam0", NOON, 2))) == ("cam0", NOON)
    assert parse_snapshot_path("snapshots/cam0/blackbox_cam1_20261123T120000Z.jpg") is None
