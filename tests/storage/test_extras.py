"""Snapshots and clips take their turn in retention, and go by hand or by plan like segments."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from edge_agent.core.retention import Policy, Reason, VolumeState
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.index import Usage
from tests.storage.footage import AT, now, run_record, store

MINUTE = timedelta(minutes=1)
ROOMY = VolumeState(10**12, 2 * 10**12)


def clip(archive: Archive, size_bytes: int = 1000) -> str:
    written = archive.new_clip()
    written.write_bytes(bytes(size_bytes))
    return archive.store_clip(written, "cam0", AT, AT + MINUTE)


def order(archive: Archive) -> list[str]:
    return [one.path for one in sorted([*archive.candidates(), *archive.extras()], key=lambda one: one.order)]


def planned(archive: Archive, volume: VolumeState, policy: Policy) -> list[tuple[str, Reason]]:
    decided = archive.retention_plan(volume, policy, now(3600), clock_synchronized=True)
    return [(removal.path, removal.reason) for removal in decided.removals]


def test_they_are_counted_and_stand_behind_the_footage_of_their_time(archive: Archive, root: Path) -> None:
    first = archive.store_snapshot("cam0", AT, b"1234")
    one = store(root, archive, run_record(1), 2)
    second = archive.store_snapshot("cam1", AT + MINUTE, b"12345678")
    cut = clip(archive)
    two = store(root, archive, run_record(2, first=now(300)), 1)
    assert order(archive) == [first, *one, second, cut, *two]
    assert archive.usage().extra_bytes == 1012
    assert archive.usage().count == 3


def test_a_lost_cache_finds_them_again(archive: Archive, root: Path, state: Path) -> None:
    first = archive.store_snapshot("cam0", AT - MINUTE, b"1234")
    one = store(root, archive, run_record(1), 2)
    second = archive.store_snapshot("cam0", AT + MINUTE, b"1234")
    two = store(root, archive, run_record(2, first=now(300)), 1)
    cut = clip(archive)
    os.utime(root / cut, (0, (AT + 2 * MINUTE).timestamp()))
    (root / cut).with_suffix(".lock").touch()
    (root / "clips/holiday.mp4").write_bytes(b"mine")
    (root / "snapshots/cam0/link.jpg").symlink_to(root / second)
    archive.close()
    for path in state.glob("*.sqlite*"):
        path.unlink()
    again = Archive(root, state)
    again.reconcile()
    assert order(again) == [first, *one, second, cut, *two]
    assert (again.usage().extra_bytes, again.usage().locked_extra_bytes) == (1008, 1000)
    again.close()


def test_what_went_or_came_by_hand_is_noticed_by_the_next_scan(archive: Archive, root: Path) -> None:
    gone, grown = (archive.store_snapshot("cam0", AT + number * MINUTE, b"1234") for number in range(2))
    (root / gone).unlink()
    (root / grown).write_bytes(b"12345678")
    (root / grown).with_suffix(".lock").touch()
    archive.reconcile()
    assert order(archive) == [grown]
    assert archive.usage() == Usage(0, 0, 0, None, 8, 8)
    (root / grown).with_suffix(".lock").unlink()
    archive.reconcile()
    assert archive.usage().locked_extra_bytes == 0


def test_too_many_go_oldest_first_and_footage_stays(archive: Archive, root: Path) -> None:
    store(root, archive, run_record(1), 3)
    taken = [archive.store_snapshot("cam0", AT + number * MINUTE, bytes(100_000)) for number in range(10)]
    plan = planned(archive, ROOMY, Policy(0, 0, max_bytes=8_500_000))
    assert plan == [(taken[0], Reason.EXTRAS), (taken[1], Reason.EXTRAS)]


def test_a_plan_looks_at_as_many_as_it_needs(archive: Archive, root: Path) -> None:
    taken = [archive.store_snapshot("cam0", AT + number * MINUTE / 60, b"1") for number in range(600)]
    plan = planned(archive, VolumeState(0, 6000), Policy(550, 0))
    assert [path for path, _ in plan] == taken[:550]
    assert {reason for _, reason in plan} == {Reason.MIN_FREE}


def test_they_are_deleted_unless_a_lock_lies_beside_them(archive: Archive, root: Path) -> None:
    picture, cut = archive.store_snapshot("cam0", AT, b"1234"), clip(archive)
    (root / cut).with_suffix(".lock").touch()
    assert archive.delete(picture) is Deleted.DELETED
    assert archive.delete(picture) is Deleted.NOT_FOUND
    assert archive.delete(cut) is Deleted.LOCKED
    assert archive.usage().locked_extra_bytes == 1000
    assert planned(archive, VolumeState(0, 10_000), Policy(5000, 0)) == []
    (root / cut).with_suffix(".lock").unlink()
    assert archive.delete(cut) is Deleted.DELETED
    assert archive.usage().extra_bytes == 0
    assert not (root / picture).exists()


def test_no_link_with_such_a_name_is_deleted(archive: Archive, root: Path) -> None:
    picture = archive.store_snapshot("cam0", AT, b"1234")
    link = root / "snapshots/cam0/blackbox_cam0_20200101T000000Z.jpg"
    link.symlink_to(root / picture)
    assert archive.delete(str(link.relative_to(root))) is Deleted.NOT_FOUND
    assert link.is_symlink()
    assert (root / picture).exists()


def test_one_that_went_by_hand_is_forgotten_when_its_turn_comes(archive: Archive, root: Path) -> None:
    picture = archive.store_snapshot("cam0", AT, b"1234")
    (root / picture).unlink()
    assert [path for path, _ in planned(archive, VolumeState(0, 1000), Policy(4, 0))] == [picture]
    assert archive.delete(picture) is Deleted.NOT_FOUND
    assert archive.extras() == []


def test_a_picture_by_a_clock_that_was_wrong_is_too_old_only_with_one_after_it(archive: Archive) -> None:
    undated = archive.store_snapshot("cam0", AT - 10_000 * MINUTE, b"1234", dated=False)
    assert planned(archive, ROOMY, Policy(0, 0, max_age_s=3600)) == []
    archive.store_snapshot("cam1", AT - 10_000 * MINUTE, b"1234")
    assert planned(archive, ROOMY, Policy(0, 0, max_age_s=3600)) == [(undated, Reason.MAX_AGE)]
