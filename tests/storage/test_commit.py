from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.storage import fmp4
from edge_agent.storage.archive import Archive
from edge_agent.storage.errors import StorageError
from edge_agent.storage.metadata import read_box
from edge_agent.storage.spool import Spool
from edge_agent.storage.tree import opened, reader_of
from tests.storage.footage import AT, fragment, now, record_segment, run_record, segment, spool_segment, store


def tree(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_a_segment_gets_its_dated_name_and_leaves_the_spool(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record(label="trip"))
    stored = archive.commit(run, spool_segment(run, 0))
    assert stored is not None
    assert stored.path == "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4"
    assert (stored.camera, stored.mode, stored.label, stored.duration_s) == ("cam0", "dual-640", "trip", 2.0)
    assert (stored.run_id, stored.sequence, stored.index) == (run.record.run.run_id, 1, 0)
    assert stored.size_bytes == (root / stored.path).stat().st_size
    assert archive.find(stored.path) == stored
    assert run.remove()
    assert tree(root) == {stored.path}


def test_a_stored_file_describes_itself_and_still_plays(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record(label="trip"))
    recorded = record_segment(run.directory / "000000.mp4", seconds=2)
    stored = archive.commit(run, run.look(now(3), finished=True).closed[0], clock_synchronized=True)
    assert stored is not None
    path = root / stored.path
    with opened(path) as descriptor:
        metadata = read_box(reader_of(descriptor), stored.size_bytes)
    assert metadata is not None
    assert (metadata.run_id, metadata.label, metadata.clock_synchronized) == (stored.run_id, "trip", True)
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "csv=p=0"]
    command += ["-show_entries", "stream=nb_read_frames", str(path)]
    probed = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert (probed.stdout.strip(), probed.stderr) == ("60", "")
    assert not recorded.exists()


def test_a_torn_tail_is_cut_off(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    stored = archive.commit(run, spool_segment(run, 0, segment(3)[:-1]))
    assert stored is not None
    assert stored.duration_s == 2.0
    data = (root / stored.path).read_bytes()
    assert data.startswith(segment(2))
    assert fmp4.walk(fmp4.reader(data), len(data)).end == len(data)


@pytest.mark.parametrize("content", [b"", segment(1)[:300], bytes(5000), fragment(0, [10] * 30)])
def test_a_file_in_which_nothing_plays_is_removed(archive: Archive, root: Path, content: bytes) -> None:
    run = Spool(root).create(run_record())
    assert archive.commit(run, spool_segment(run, 0, content)) is None
    assert run.remove()
    assert tree(root) == set()


def test_segments_of_one_second_never_share_a_name(archive: Archive, root: Path) -> None:
    names = [store(root, archive, run_record(sequence), 1)[0] for sequence in range(1, 4)]
    stem = "640x480/cam0/blackbox_cam0_640_20261123T091500Z"
    assert names == [f"{stem}.mp4", f"{stem}-1.mp4", f"{stem}-2.mp4"]
    assert archive.usage().count == 3


def test_a_name_taken_by_a_stranger_is_left_to_it(archive: Archive, root: Path) -> None:
    folder = root / "640x480/cam0"
    folder.mkdir(parents=True)
    taken = folder / "blackbox_cam0_640_20261123T091500Z.mp4"
    taken.symlink_to("/etc/hostname")
    (stored,) = store(root, archive, run_record(), 1)
    assert stored.endswith("Z-1.mp4")
    assert taken.is_symlink()


def test_a_folder_that_is_a_link_is_not_entered(archive: Archive, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "640x480").symlink_to(tmp_path / "elsewhere")
    run = Spool(root).create(run_record())
    with pytest.raises(StorageError, match="cannot store"):
        archive.commit(run, spool_segment(run, 0))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (run.directory / "000000.mp4").exists()


def test_each_segment_starts_where_the_one_before_ended(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    for index in range(3):
        (run.directory / f"{index:06d}.mp4").write_bytes(segment(2))
    starts = [
        stored.started_at - AT
        for spooled in Spool(root).runs()[0].look(now(9), finished=True).closed
        if (stored := archive.commit(run, spooled))
    ]
    assert starts == [at(0), at(2), at(4)]


def test_a_clock_step_moves_and_stretches_nothing_but_the_file(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    run.look(now(0))
    (run.directory / "000000.mp4").write_bytes(segment(1) + fragment(3601 * 30_000, [50] * 30))
    run.look(now(1))
    (run.directory / "000001.mp4").write_bytes(segment(2))
    run.list_path.write_text("000000.mp4,0.0,3602.0\n")
    run.look(now(2))
    first, second = (archive.commit(run, one) for one in run.look(now(4), finished=True).closed)
    assert first is not None
    assert second is not None
    assert (first.started_at - AT, first.duration_s) == (at(0), 2.0)
    assert (second.started_at - AT, second.duration_s) == (at(2), 2.0)


def test_a_second_commit_of_an_interrupted_one_changes_nothing(archive: Archive, root: Path) -> None:
    run = Spool(root).create(run_record())
    spooled = spool_segment(run, 0)
    stored = archive.commit(run, spooled)
    assert stored is not None
    os.link(root / stored.path, spooled.path)
    assert archive.commit(run, spooled) == stored
    assert run.remove()
    assert archive.usage().count == 1
