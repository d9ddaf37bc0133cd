from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Code
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.index import Filter
from edge_agent.storage.locks import MAX_WINDOWS, WINDOW_REST, LockWindow, LockWindows, lock_labels
from edge_agent.storage.spool import Spool
from tests.storage.footage import AT, now, run_record, spool_segment, store


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def window(
    start: float | None, end: float | None, label: str = "crash", quota_bytes: int | None = None, now_s: float = 100
) -> LockWindow:
    return LockWindow(
        at(start) if start is not None else None,
        at(end) if end is not None else None,
        label,
        quota_bytes,
        locked_at=at(now_s),
    )


def locked(archive: Archive) -> list[str]:
    return [segment.path for segment in archive.window(None, None, None) if segment.locked]


def test_a_lock_protects_the_footage_that_its_window_overlaps(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 5)
    outcome = archive.lock(window(3, 7))
    assert (outcome.code, outcome.already, outcome.pending) == (Code.OK, 0, False)
    assert [segment.path for segment in outcome.segments] == stored[1:4]
    assert all(segment.lock_labels == ("crash",) for segment in outcome.segments)
    assert locked(archive) == stored[1:4]
    assert [archive.delete(path) for path in stored[:2]] == [Deleted.DELETED, Deleted.LOCKED]
    usage = archive.usage()
    assert usage.locked_bytes == outcome.locked_bytes == sum(segment.size_bytes for segment in outcome.segments)


def test_a_lock_can_be_seen_on_the_disk_and_survives_a_restart(
    archive: Archive, root: Path, state: Path, tmp_path: Path
) -> None:
    stored = store(root, archive, run_record(), 2)
    archive.lock(window(0, 1, "trip to work"))
    beside = (root / stored[0]).with_suffix(".lock")
    assert json.loads(beside.read_text())["label"] == "trip to work"
    archive.close()
    for directory in (state, tmp_path / "another state"):
        other = Archive(root, directory)
        other.reconcile()
        assert locked(other) == [stored[0]]
        assert [segment.path for segment in other.page(Filter(label="trip to work")).segments] == [stored[0]]
        other.close()


def test_locks_made_and_removed_by_hand_count_from_the_next_scan_on(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 2)
    archive.lock(window(0, 1))
    archive.unlock()
    by_hand = (root / stored[1]).with_suffix(".lock")
    by_hand.touch()
    archive.reconcile()
    found = archive.find(stored[1])
    assert found is not None
    assert found.lock_labels == ("",)
    by_hand.unlink()
    archive.reconcile()
    assert locked(archive) == []


def test_a_lock_by_hand_that_kept_a_segment_is_seen_to_go(archive: Archive, root: Path) -> None:
    (path,) = store(root, archive, run_record(), 1)
    by_hand = (root / path).with_suffix(".lock")
    by_hand.touch()
    assert archive.delete(path) is Deleted.LOCKED
    by_hand.unlink()
    archive.reconcile()
    assert locked(archive) == []
    assert archive.delete(path) is Deleted.DELETED


def test_a_lock_of_the_last_minutes_covers_the_open_segment_once_it_is_stored(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    archive.commit(run, spool_segment(run, 0))
    outcome = archive.lock(window(-295, 5, now_s=5), recording_since=at(2))
    assert (len(outcome.segments), outcome.pending) == (1, True)
    stored = [archive.commit(run, spool_segment(run, index)) for index in range(1, 4)]
    assert [segment.lock_labels for segment in stored if segment] == [("crash",), ("crash",), ()]


def test_a_lock_that_waits_for_footage_survives_a_restart(archive: Archive, root: Path, state: Path) -> None:
    run = Spool(root).create(run_record())
    assert archive.lock(window(0, 10, now_s=5), recording_since=at(0)).pending
    archive.close()
    other = Archive(root, state)
    other.reconcile()
    stored = other.commit(run, spool_segment(run, 0))
    assert stored is not None
    assert stored.locked
    other.close()


def test_a_lock_without_an_end_holds_all_footage_to_come(archive: Archive, root: Path) -> None:
    outcome = archive.lock(window(1, None, now_s=1))
    assert (outcome.code, outcome.pending) == (Code.OK, True)
    stored = store(root, archive, run_record(), 3)
    assert locked(archive) == stored
    archive.unlock("crash")
    assert not any(segment.locked for segment in archive.window(None, None, None))
    store(root, archive, run_record(2, first=now(10)), 1)
    assert locked(archive) == []


def test_a_window_without_footage_now_or_to_come_is_not_found(archive: Archive, root: Path) -> None:
    store(root, archive, run_record(), 2)
    assert archive.lock(window(50, 60)).code is Code.NOT_FOUND
    assert archive.lock(window(-60, 0)).code is Code.NOT_FOUND
    assert archive.lock(window(50, 60), recording_since=at(70)).code is Code.NOT_FOUND


def test_beyond_the_quota_nothing_is_locked(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 4)
    size = (root / stored[0]).stat().st_size
    quota = 2 * size + size // 2
    assert archive.lock(window(0, 3.5, quota_bytes=quota)).code is Code.OK
    refused = archive.lock(window(0, 7.5, "more", quota))
    assert (refused.code, refused.segments, refused.pending) == (Code.LOCK_QUOTA, (), False)
    assert refused.locked_bytes > quota
    assert locked(archive) == stored[:2]
    assert archive.lock(window(0, 3.5, "again", quota)).already == 2
    store(root, archive, run_record(2, first=now(4.5)), 1)
    assert locked(archive) == stored[:2]


def test_footage_to_come_is_locked_only_within_the_quota(archive: Archive, root: Path) -> None:
    (first,) = store(root, archive, run_record(), 1)
    size = (root / first).stat().st_size
    archive.lock(window(0, None, quota_bytes=2 * size + size // 2, now_s=1))
    later = store(root, archive, run_record(2, first=now(4)), 3)
    assert locked(archive) == [first, later[0]]


def test_footage_is_released_by_label_and_window(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 6)
    archive.lock(window(0, 3.5, "a"))
    archive.lock(window(4.5, 11.5, "b"))
    assert [segment.path for segment in archive.unlock("a")] == stored[:2]
    assert locked(archive) == stored[2:]
    assert [segment.path for segment in archive.unlock(start=at(6.5), end=at(7))] == [stored[3]]
    assert archive.unlock("never used") == ()
    assert [segment.lock_labels for segment in archive.unlock()] == [()] * 3
    assert locked(archive) == []
    assert list((root / "640x480/cam0").glob("*.lock*")) == []


def test_footage_is_free_when_the_last_of_its_labels_goes(
    archive: Archive, root: Path, state: Path, tmp_path: Path
) -> None:
    stored = store(root, archive, run_record(), 5)
    archive.lock(window(0, 5.5, "crash"))
    police = archive.lock(window(3.9, 10, "police"))
    assert (len(police.segments), police.already) == (2, 2)
    assert [len(archive.page(Filter(label=label)).segments) for label in ("crash", "police")] == [3, 4]
    archive.close()
    (state / "lock-windows.json").unlink()  # the windows are forgotten after a while, and the labels stay
    for directory in (state, tmp_path / "another state"):
        other = Archive(root, directory)
        other.reconcile()
        held = {segment.path: segment.lock_labels for segment in other.window(None, None, None)}
        assert list(held.values()) == [("crash",), *[("crash", "police")] * 2, *[("police",)] * 2]
        other.close()
    archive = Archive(root, state)
    assert [segment.lock_labels for segment in archive.unlock("crash")] == [(), ("police",), ("police",)]
    assert locked(archive) == stored[1:]
    assert [segment.lock_labels for segment in archive.unlock("police")] == [()] * 4
    assert list((root / "640x480/cam0").glob("*.lock*")) == []
    archive.close()


def test_footage_to_come_is_locked_under_every_label_that_asked_for_it(archive: Archive, root: Path) -> None:
    for label in ("crash", "police", "crash"):
        archive.lock(window(0, None, label, now_s=0))
    stored = store(root, archive, run_record(), 2)
    assert [segment.lock_labels for segment in archive.window(None, None, None)] == [("crash", "police")] * 2
    archive.unlock("crash")
    assert locked(archive) == stored


def test_a_lock_by_hand_is_not_taken_away_with_a_label(archive: Archive, root: Path) -> None:
    (path,) = store(root, archive, run_record(), 1)
    (root / path).with_suffix(".lock").touch()
    archive.lock(window(0, 1, "crash"))
    archive.unlock("crash")
    assert locked(archive) == [path]
    archive.unlock("")
    assert locked(archive) == []


def test_locking_footage_again_takes_no_more_of_the_quota(archive: Archive, root: Path) -> None:
    (path,) = store(root, archive, run_record(), 1)
    size = (root / path).stat().st_size
    for label in ("a", "b"):
        assert archive.lock(window(0, 1, label, quota_bytes=size)).code is Code.OK
    archive.reconcile()
    assert archive.usage().locked_bytes == size


def test_a_lock_cut_short_by_a_crash_is_completed_at_the_next_start(archive: Archive, root: Path, state: Path) -> None:
    stored = store(root, archive, run_record(), 3)
    archive.lock(window(0, 5.5))
    (root / stored[1]).with_suffix(".lock").unlink()  # what a power cut before writeback leaves
    archive.close()
    other = Archive(root, state)
    other.reconcile()
    assert locked(other) == stored
    other.close()


def test_a_window_is_forgotten_once_its_footage_must_have_been_stored(
    archive: Archive, root: Path, state: Path
) -> None:
    archive.lock(window(0, 10, now_s=5), recording_since=at(0))
    kept = json.loads((state / "lock-windows.json").read_text())["windows"]
    assert len(kept) == 1
    store(root, archive, run_record(1, first=now(WINDOW_REST.total_seconds() + 11)), 1)
    assert json.loads((state / "lock-windows.json").read_text())["windows"] == []


def test_only_so_many_windows_are_kept(tmp_path: Path) -> None:
    windows = LockWindows(tmp_path / "windows.json")
    windows.windows = [window(index, None, str(index)) for index in range(MAX_WINDOWS)]
    windows.add(window(5, 6, "newest"))
    again = LockWindows(tmp_path / "windows.json").windows
    assert len(again) == MAX_WINDOWS
    assert (again[0].label, again[-1].label) == ("1", "newest")


instants = st.none() | st.integers(-5, 15)


@given(st.tuples(instants, instants), st.tuples(instants, instants), st.sampled_from(["crash", None, "other"]))
def test_withdrawing_a_span_leaves_exactly_the_rest(
    tmp_path_factory: pytest.TempPathFactory,
    of: tuple[int | None, int | None],
    span: tuple[int | None, int | None],
    label: str | None,
) -> None:
    windows = LockWindows(tmp_path_factory.mktemp("locks") / "windows.json")
    windows.add(window(*of))
    windows.withdraw(label, *(at(second) if second is not None else None for second in span))
    withdrawn = window(*span)
    for tenth in range(-70, 171, 5):
        start, end = at(tenth / 10 + 0.1), at(tenth / 10 + 0.2)
        expected = window(*of).covers(start, end) and not (label != "other" and withdrawn.covers(start, end))
        assert any(left.covers(start, end) for left in windows.windows) == expected


@given(
    st.binary()
    | st.recursive(st.none() | st.text(), st.lists).map(lambda found: json.dumps({"labels": found}).encode())
)
def test_any_lock_file_has_a_label(content: bytes) -> None:
    labels = lock_labels(content)
    assert labels
    assert all(isinstance(label, str) and "\n" not in label for label in labels)


def test_a_lock_file_of_an_older_agent_keeps_its_label() -> None:
    assert lock_labels(b'{"v":1,"label":"crash","locked_at":"2026-11-23T09:15:00Z"}') == ("crash",)


@pytest.mark.parametrize(
    "content", [b"", b"null", b'{"windows": 5}', b'{"windows": [{"start": 1}]}', b"\xff", b"[" * 100_000]
)
def test_a_damaged_file_of_windows_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "windows.json").write_bytes(content)
    assert LockWindows(tmp_path / "windows.json").windows == []
