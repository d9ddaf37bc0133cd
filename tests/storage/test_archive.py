from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.core.retention import Policy, VolumeState, plan
from edge_agent.core.segments import parse_segment_path
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.index import Filter
from edge_agent.storage.locks import LockWindow
from edge_agent.storage.spool import Spool
from tests.storage.footage import AT, now, run_record, segment, spool_segment, store


def paths(archive: Archive, wanted: Filter | None = None, limit: int = 2) -> list[str]:
    """Everything that passes, page by page, newest first."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = archive.page(wanted or Filter(), limit, cursor)
        found += [one.path for one in page.segments]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_pages_show_every_segment_once_newest_first(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 5)
    assert paths(archive) == stored[::-1]
    assert paths(archive, limit=5) == stored[::-1]
    assert paths(archive, limit=100) == stored[::-1]


def test_a_page_goes_on_where_it_ended_though_footage_came_and_went(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 4)
    page = archive.page(Filter(), 2)
    store(root, archive, run_record(2, first=now(60)), 1)
    archive.delete(stored[2])
    assert page.next_cursor is not None
    rest = archive.page(Filter(), 10, page.next_cursor)
    assert [one.path for one in rest.segments] == [stored[1], stored[0]]


@pytest.mark.parametrize("cursor", ["", "x", "1.2", "1.2.3.4", "1.2.99999999999999999999", "1.2.x"])
def test_a_cursor_that_no_page_gave_is_refused(archive: Archive, cursor: str) -> None:
    with pytest.raises(ValueError, match="is no cursor"):
        archive.page(Filter(), 10, cursor)


def test_two_cameras_interleave_as_they_were_recorded(archive: Archive, root: Path) -> None:
    one = store(root, archive, run_record(1, "cam0"), 3)
    other = store(root, archive, run_record(2, "cam1", first=now(0.5)), 3)
    in_order = [one[0], other[0], one[1], other[1], one[2], other[2]]
    assert paths(archive) == in_order[::-1]
    assert [candidate.path for candidate in archive.candidates()] == in_order
    assert [found.path for found in archive.window(None, None, None)] == in_order


def test_the_order_of_recording_survives_every_step_of_the_wall_clock(archive: Archive, root: Path) -> None:
    year = timedelta(days=365)
    in_order: list[str] = []
    for sequence, shift in enumerate([timedelta(), 9 * year, -timedelta(hours=1), -9 * year], 1):
        first = now(sequence * 10)
        shifted = type(first)(first.mono_s, first.wall + shift)
        in_order += store(root, archive, run_record(sequence, first=shifted), 1)
    in_order += store(root, archive, run_record(5, first=type(first)(3.0, AT), boot_id="boot-b"), 1)
    assert paths(archive) == in_order[::-1]


def test_filters_choose_by_camera_mode_label_and_window(archive: Archive, root: Path) -> None:
    trip = store(root, archive, run_record(1, "cam0", label="trip"), 3)
    other = store(root, archive, run_record(2, "cam1", first=now(100)), 2)
    assert paths(archive, Filter(camera="cam1")) == other[::-1]
    assert paths(archive, Filter(label="trip")) == trip[::-1]
    assert paths(archive, Filter(mode="dual-640", camera="cam0")) == trip[::-1]
    assert paths(archive, Filter(mode="quick")) == []
    window = Filter(start=AT + timedelta(seconds=2), end=AT + timedelta(seconds=4))
    assert paths(archive, window) == [trip[1]]
    assert paths(archive, Filter(start=AT + timedelta(seconds=3.9))) == [*other[::-1], trip[2], trip[1]]
    assert paths(archive, Filter(end=AT + timedelta(seconds=2.1))) == [trip[1], trip[0]]


def test_a_window_holds_what_overlaps_it_oldest_first(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 5)
    found = archive.window("cam0", AT + timedelta(seconds=3), AT + timedelta(seconds=7))
    assert [one.path for one in found] == stored[1:4]
    assert archive.window("cam1", None, None) == ()


def test_usage_counts_all_and_dates_the_oldest(archive: Archive, root: Path) -> None:
    assert archive.usage().oldest_at is None
    stored = store(root, archive, run_record(), 3)
    usage = archive.usage()
    assert (usage.count, usage.oldest_at, usage.locked_bytes) == (3, AT, 0)
    assert usage.bytes == sum((root / path).stat().st_size for path in stored)


def test_a_segment_deleted_by_hand_is_forgotten(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 3)
    (root / stored[1]).unlink()
    assert archive.find(stored[1]) is None
    (root / stored[0]).unlink()
    assert paths(archive, limit=10) == [stored[2]]
    assert archive.usage().count == 1
    assert archive.delete(stored[0]) is Deleted.NOT_FOUND


def test_footage_of_a_volume_that_is_gone_for_a_while_is_not_forgotten(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 3)
    away = root.rename(root.parent / "unplugged")
    root.mkdir()
    assert paths(archive) == []
    assert archive.open(stored[0]) is None
    assert archive.delete(stored[0]) is Deleted.NOT_FOUND
    root.rmdir()
    away.rename(root)
    assert paths(archive) == stored[::-1]


def test_deleting_takes_the_thumbnail_and_empty_folders_along(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 2)
    thumbnail = archive.store_thumbnail(stored[0], b"jpeg")
    assert archive.delete(stored[0]) is Deleted.DELETED
    assert not (root / thumbnail).exists()
    assert archive.delete(stored[0]) is Deleted.NOT_FOUND
    assert (root / "640x480/cam0").is_dir()
    assert archive.delete(stored[1]) is Deleted.DELETED
    assert not (root / "640x480").exists()
    assert archive.usage().count == 0
    assert store(root, archive, run_record(2), 1) == [stored[0]]


def test_a_folder_with_a_strangers_file_stays(archive: Archive, root: Path) -> None:
    (stored,) = store(root, archive, run_record(), 1)
    (root / "640x480/cam0/notes.txt").write_text("mine")
    assert archive.delete(stored) is Deleted.DELETED
    assert (root / "640x480/cam0/notes.txt").read_text() == "mine"


def test_a_segment_locked_by_hand_is_not_deleted(archive: Archive, root: Path) -> None:
    (stored,) = store(root, archive, run_record(), 1)
    (root / stored).with_suffix(".lock").touch()
    assert archive.delete(stored) is Deleted.LOCKED
    found = archive.find(stored)
    assert found is not None
    assert found.locked
    assert archive.usage().locked_bytes == found.size_bytes


def test_an_open_download_is_read_to_its_end_though_the_segment_goes(archive: Archive, root: Path) -> None:
    (stored,) = store(root, archive, run_record(), 1)
    content = (root / stored).read_bytes()
    descriptor = archive.open(stored)
    assert descriptor is not None
    with os.fdopen(descriptor, "rb") as file:
        assert archive.delete(stored) is Deleted.DELETED
        assert file.read() == content
    assert archive.open(stored) is None


def test_thumbnails_snapshots_and_clips_can_be_opened(archive: Archive, root: Path) -> None:
    (stored,) = store(root, archive, run_record(), 1)
    clip = archive.new_clip()
    clip.write_bytes(b"clip")
    kept = {
        archive.store_thumbnail(stored, b"thumbnail"): b"thumbnail",
        archive.store_snapshot("cam0", AT, b"first"): b"first",
        archive.store_snapshot("cam0", AT, b"second"): b"second",
        archive.store_clip(clip, "cam0", AT, AT + timedelta(seconds=90)): b"clip",
    }
    assert list(kept)[1:] == [
        "snapshots/cam0/blackbox_cam0_20261123T091500Z.jpg",
        "snapshots/cam0/blackbox_cam0_20261123T091500Z-1.jpg",
        "clips/blackbox_cam0_20261123T091500Z_20261123T091630Z.mp4",
    ]
    for path, content in kept.items():
        descriptor = archive.open(path)
        assert descriptor is not None
        with os.fdopen(descriptor, "rb") as file:
            assert file.read() == content
    assert list((root / "spool/tmp").iterdir()) == []


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("make", [fifo, link, Path.mkdir])
@pytest.mark.parametrize("kind", ["mp4", "jpg"])
def test_what_is_no_file_is_not_opened_or_counted_or_deleted(
    archive: Archive, root: Path, make: Callable[[Path], None], kind: str
) -> None:
    store(root, archive, run_record(), 1)
    name = f"640x480/cam0/blackbox_cam0_640_20300101T000000Z.{kind}"
    make(root / name)
    found = archive.reconcile()
    assert found.segments == 1
    assert archive.open(name) is None
    assert archive.delete(name) is Deleted.NOT_FOUND
    assert os.path.lexists(root / name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/hostname",
        "../state/archive-index.sqlite",
        "640x480/cam0/../../../secret.mp4",
        "spool/20261123T091500Z-000001-cam0/000000.mp4",
        "spool/tmp/x.mp4",
        ".edge-agent-volume",
        "640x480/cam0/blackbox_cam0_640_20261123T091500Z.lock",
        "640x480/cam0/blackbox_cam0_640_20300101T000000Z.mp4",
        "snapshots/cam9/blackbox_cam9_20300101T000000Z.jpg",
        "clips/blackbox_cam0_20261123T091500Z_20261123T091630Z.mp4\0",
        "640x480/cam0/\ud800.mp4",
    ],
)
def test_only_what_the_archive_stored_can_be_opened(archive: Archive, root: Path, path: str) -> None:
    store(root, archive, run_record(), 1)
    assert archive.open(path) is None
    assert archive.find(path) is None
    assert archive.delete(path) is Deleted.NOT_FOUND


def test_a_copied_segment_is_a_stranger(archive: Archive, root: Path) -> None:
    (stored,) = store(root, archive, run_record(), 1)
    copy = root / "640x480/cam0/blackbox_cam0_640_20300101T000000Z.mp4"
    copy.write_bytes((root / stored).read_bytes())
    found = archive.reconcile()
    assert (found.segments, found.strangers) == (1, (str(copy.relative_to(root)),))
    assert archive.delete(str(copy.relative_to(root))) is Deleted.NOT_FOUND


def test_a_lost_cache_is_rebuilt_from_the_tree(archive: Archive, root: Path, tmp_path: Path) -> None:
    store(root, archive, run_record(label="trip"), 3)
    store(root, archive, run_record(2, "cam1", first=now(0.5)), 3)
    other = Archive(root, tmp_path / "fresh")
    found = other.reconcile()
    assert (found.segments, found.entered, found.gone) == (6, 6, 0)
    assert other.window(None, None, None) == archive.window(None, None, None)
    assert other.newest_sequence() == 2
    other.close()


def test_a_scan_finds_what_came_and_went_while_nobody_looked(archive: Archive, root: Path, state: Path) -> None:
    stored = store(root, archive, run_record(), 4)
    archive.close()
    (root / stored[0]).unlink()
    moved = (root / stored[1]).rename(root.parent / "aside.mp4")
    other = Archive(root, state)
    assert (found := other.reconcile()).gone == 2
    assert (found.entered, found.segments) == (0, 2)
    moved.rename(root / stored[1])
    assert (found := other.reconcile()).entered == 1
    assert (found.gone, found.segments) == (0, 3)
    other.close()


def damage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def truncate(path: Path) -> None:
    os.truncate(path, 5000)


@pytest.mark.parametrize("harm", [damage, truncate, Path.unlink])
def test_a_damaged_cache_is_replaced(archive: Archive, root: Path, state: Path, harm: Callable[[Path], None]) -> None:
    stored = store(root, archive, run_record(), 3)
    archive.close()
    for rest in state.glob("*.sqlite-*"):
        rest.unlink()
    harm(state / "archive-index.sqlite")
    other = Archive(root, state)
    other.reconcile()
    assert paths(other) == stored[::-1]
    other.close()


def test_a_cache_that_breaks_while_in_use_is_replaced(archive: Archive, root: Path, state: Path) -> None:
    stored = store(root, archive, run_record(), 3)
    archive._catalog._index._database.execute("DROP TABLE segments")
    assert paths(archive) == stored[::-1]
    assert archive.usage().count == 3


def test_without_a_place_for_the_cache_it_is_kept_in_memory(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state/archive-index.sqlite").mkdir()
    archive = Archive(root, tmp_path / "state")
    stored = store(root, archive, run_record(), 2)
    assert paths(archive) == stored[::-1]
    archive.close()


def test_what_a_former_agent_was_writing_is_cleared_away(archive: Archive, root: Path) -> None:
    left = archive.new_clip()
    left.write_bytes(b"half a clip")
    mine = left.with_name("mine.txt")
    mine.write_text("mine")
    archive.reconcile()
    assert not left.exists()
    assert mine.exists()


def test_files_beside_the_archive_are_left_alone(archive: Archive, root: Path) -> None:
    (root / "640x480/cam0").mkdir(parents=True)
    (root / "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4").write_bytes(segment())
    (root / "640x480/cam0/blackbox_cam0_640_20261123T091500Z.txt").write_text("mine")
    (root / "640x480/\udcff").mkdir()
    (root / "movie.mp4").write_bytes(segment())
    (root / "99x99").symlink_to("/etc")
    before = {str(path) for path in root.rglob("*")}
    found = archive.reconcile()
    assert found.segments == 0
    assert len(found.strangers) == 1
    assert archive.usage().count == 0
    assert {str(path) for path in root.rglob("*")} == before


def test_a_segment_goes_by_a_name_that_says_its_start(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    stored = archive.commit(run, spool_segment(run, 7, start_s=14.25))
    assert stored is not None
    assert stored.started_at == AT + timedelta(seconds=14.25)
    name = parse_segment_path(stored.path)
    assert name is not None
    assert name.started_at == AT + timedelta(seconds=14)


def test_a_retention_plan_names_the_oldest_that_have_to_go(archive: Archive, root: Path) -> None:
    one = store(root, archive, run_record(1, "cam0"), 3)
    other = store(root, archive, run_record(2, "cam1", first=now(0.5)), 3)
    size = archive.usage().bytes // 6
    volume = VolumeState(free_bytes=10 * size, total_bytes=100 * size)
    decided = archive.retention_plan(volume, Policy(12 * size, 0), now(60), clock_synchronized=True)
    assert [removal.path for removal in decided.removals[:2]] == [one[0], other[0]]
    assert (decided.below_floor, decided.exhausted) == (True, False)
    assert archive.usage().count == 6


@pytest.mark.parametrize("max_age_s", [None, 1e9])
def test_a_retention_plan_over_part_of_the_archive_is_that_over_all_of_it(
    archive: Archive, root: Path, max_age_s: float | None
) -> None:
    store(root, archive, run_record(), 600, segment(1, sample_bytes=1))
    archive.lock(LockWindow(AT, AT + timedelta(seconds=1160), "most", None, AT))
    free = archive.candidates()[-20:]
    for needed in (1, 5, 19, 20, 21):
        volume = VolumeState(0, 10**9)
        policy = Policy(sum(one.size_bytes for one in free[:needed]) + (needed > 20), 0, max_age_s=max_age_s)
        decided = archive.retention_plan(volume, policy, now(2000), clock_synchronized=True)
        assert decided == plan(archive.candidates(), volume, policy, now(2000), clock_synchronized=True)
        assert decided.exhausted == (needed > 20)
