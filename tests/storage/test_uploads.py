from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.errors import StorageError
from edge_agent.storage.locks import LockWindow
from tests.storage.footage import AT, run_record, store

RECEIPT = json.dumps({"v": 1, "bucket": "footage"}).encode()
EVERYTHING = LockWindow(None, None, "crash", None, AT)
CLIP = "clips/blackbox_cam1_20261123T091500Z_20261123T091600Z.mp4"


def waiting(archive: Archive) -> list[str]:
    return [one.path for one in archive.backlog(100).first]


def write_clip(root: Path, path: str = CLIP, content: bytes = b"clip") -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_bytes(content)


def test_clips_wait_first_then_locked_footage_from_the_oldest_on_and_nothing_else(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 3)
    archive.lock(LockWindow(None, AT.replace(second=3), "crash", None, AT))
    write_clip(root)
    write_clip(root, "clips/holiday.mp4")
    write_clip(root, CLIP.removesuffix(".mp4") + ".jpg")
    backlog = archive.backlog(100)
    assert [(one.path, one.camera) for one in backlog.first] == [
        (CLIP, "cam1"),
        (stored[0], "cam0"),
        (stored[1], "cam0"),
    ]
    sizes = [(root / path).stat().st_size for path in (CLIP, *stored[:2])]
    assert [one.size_bytes for one in backlog.first] == sizes
    assert (backlog.count, backlog.size_bytes) == (3, sum(sizes))


def test_the_numbers_count_more_than_is_named(archive: Archive, root: Path) -> None:
    store(root, archive, run_record(), 5)
    archive.lock(EVERYTHING)
    backlog = archive.backlog(2)
    assert (backlog.count, len(backlog.first)) == (5, 2)


def test_a_mark_takes_footage_out_of_the_backlog_and_survives_every_loss_of_the_state(
    archive: Archive, root: Path, state: Path, tmp_path: Path
) -> None:
    stored = store(root, archive, run_record(), 2)
    archive.lock(EVERYTHING)
    write_clip(root)
    assert archive.mark_uploaded(stored[0], RECEIPT, release=False) is False
    assert archive.mark_uploaded(CLIP, RECEIPT, release=False) is False
    assert (root / stored[0]).with_suffix(".uploaded").read_bytes() == RECEIPT
    assert waiting(archive) == [stored[1]]
    archive.close()
    for directory in (state, tmp_path / "another state"):
        other = Archive(root, directory)
        other.reconcile()
        assert waiting(other) == [stored[1]]
        assert [one.uploaded for one in other.window(None, None, None)] == [True, False]
        assert all(one.locked for one in other.window(None, None, None))
        other.close()


def test_a_mark_counts_by_its_presence_and_can_be_made_and_removed_by_hand(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 1)
    archive.lock(EVERYTHING)
    mark = (root / stored[0]).with_suffix(".uploaded")
    mark.write_bytes(b"\0torn")
    archive.reconcile()
    assert waiting(archive) == []
    mark.unlink()
    archive.reconcile()
    assert waiting(archive) == stored


def test_a_mark_goes_with_its_segment(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 1)
    archive.lock(EVERYTHING)
    archive.mark_uploaded(stored[0], RECEIPT, release=False)
    archive.unlock()
    assert archive.delete(stored[0]) is Deleted.DELETED
    assert list(root.rglob("*.uploaded")) == []


def test_released_footage_is_unlocked_and_stays_so_although_its_lock_command_is_remembered(
    archive: Archive, root: Path, state: Path
) -> None:
    stored = store(root, archive, run_record(), 2)
    archive.lock(EVERYTHING)
    assert archive.mark_uploaded(stored[0], RECEIPT, release=True) is True
    archive.close()
    again = Archive(root, state)
    again.reconcile()
    assert [(one.locked, one.uploaded) for one in again.window(None, None, None)] == [(False, True), (True, False)]
    assert again.usage().locked_bytes == (root / stored[1]).stat().st_size
    again.close()


def test_footage_that_a_person_locks_again_stays_locked(archive: Archive, root: Path) -> None:
    stored = store(root, archive, run_record(), 1)
    archive.lock(EVERYTHING)
    archive.mark_uploaded(stored[0], RECEIPT, release=True)
    archive.lock(EVERYTHING)
    archive.reconcile()
    found = archive.find(stored[0])
    assert found is not None
    assert (found.locked, found.uploaded) == (True, True)
    assert waiting(archive) == []


def test_what_was_deleted_while_it_was_sent_gets_no_mark(archive: Archive, root: Path) -> None:
    write_clip(root)
    (root / CLIP).unlink()
    archive.mark_uploaded(CLIP, RECEIPT, release=False)
    assert list(root.rglob("*.uploaded")) == []


def test_a_mark_that_the_disk_does_not_take_is_a_storage_error_and_the_footage_waits_on(
    archive: Archive, root: Path
) -> None:
    write_clip(root)
    (root / CLIP).with_suffix(".uploaded.tmp").mkdir()
    with pytest.raises(StorageError):
        archive.mark_uploaded(CLIP, RECEIPT, release=False)
    assert waiting(archive) == [CLIP]


def test_the_mark_of_a_clip_is_known_to_retention_and_goes_with_the_clip(archive: Archive, root: Path) -> None:
    write_clip(root)
    archive.reconcile()
    assert [(one.path, one.uploaded) for one in archive.extras()] == [(CLIP, False)]
    archive.mark_uploaded(CLIP, RECEIPT, release=False)
    assert [one.uploaded for one in archive.extras()] == [True]
    archive.reconcile()
    assert [one.uploaded for one in archive.extras()] == [True]
    assert archive.delete(CLIP) is Deleted.DELETED
    assert list(root.rglob("*.uploaded")) == []
