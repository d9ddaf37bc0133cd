from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.core.model import Purpose
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.spool import RECOVERED_MODE, Spool, SpoolRun
from tests.storage.footage import AT, fragment, now, run_record, segment


@pytest.fixture
def run(tmp_path: Path) -> SpoolRun:
    return Spool(tmp_path).create(run_record())


def write(run: SpoolRun, index: int, content: bytes = b"") -> Path:
    path = run.directory / f"{index:06d}.mp4"
    path.write_bytes(content)
    return path


def indexes(run: SpoolRun, seconds: float = 1.0, *, finished: bool = False) -> list[int]:
    return [closed.index for closed in run.look(now(seconds), finished=finished).closed]


def test_a_run_is_found_with_the_record_that_it_was_created_with(tmp_path: Path) -> None:
    records = [run_record(2, "cam1"), run_record(1, "cam0", label="trip")]
    for record in records:
        Spool(tmp_path).create(record)
    assert [run.record for run in Spool(tmp_path).runs()] == sorted(records, key=lambda record: record.run.sequence)


def test_a_saved_record_replaces_the_old_one(run: SpoolRun, tmp_path: Path) -> None:
    changed = replace(run.record, session=replace(run.record.session, label="crash"))
    run.save(changed)
    assert run.record == changed
    assert Spool(tmp_path).runs()[0].record == changed


def test_the_pattern_doubles_each_percent_sign_but_its_own(tmp_path: Path) -> None:
    run = Spool(tmp_path / "50%d").create(run_record())
    assert run.segment_pattern == str(run.directory).replace("%", "%%") + "/%06d.mp4"
    assert run.segment_pattern % 7 == str(run.directory / "000007.mp4")


def test_a_run_that_exists_is_not_created_again(run: SpoolRun, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Spool(tmp_path).create(run.record)


def test_an_empty_spool_holds_no_runs(tmp_path: Path) -> None:
    assert Spool(tmp_path / "missing").runs() == []


def test_the_first_frame_is_seen_when_a_file_appears(run: SpoolRun) -> None:
    assert not run.look(now()).first_frame_seen
    write(run, 0)
    look = run.look(now(1))
    assert (look.first_frame_seen, look.open and look.open.index, look.closed) == (True, 0, ())


def test_a_segment_is_closed_by_its_line_in_the_list(run: SpoolRun) -> None:
    write(run, 0, segment())
    run.list_path.write_text("000000.mp4,0.000000,2.000000\n")
    look = run.look(now(3))
    assert look.open is None
    assert [(one.index, one.list_start_s) for one in look.closed] == [(0, 0.0)]


def test_a_segment_is_closed_by_a_later_one(run: SpoolRun) -> None:
    for index in range(3):
        write(run, index, segment())
    assert indexes(run) == [0, 1]
    newest = run.look(now(2)).open
    assert newest is not None
    assert newest.index == 2


def test_all_segments_are_closed_when_the_process_has_gone(run: SpoolRun) -> None:
    for index in range(3):
        write(run, index, segment())
    assert indexes(run, finished=True) == [0, 1, 2]


def test_a_segments_start_is_known_from_the_end_of_the_one_before(run: SpoolRun) -> None:
    write(run, 0)
    write(run, 1)
    run.list_path.write_text("000000.mp4,0.0,59.9\n")
    look = run.look(now(), finished=True)
    assert look.closed[1].list_start_s == 59.9


def test_looks_say_when_a_segment_came_and_when_it_was_closed(run: SpoolRun) -> None:
    run.look(now(0))
    write(run, 0)
    run.look(now(1))
    write(run, 1)
    run.look(now(61))
    closed = run.look(now(62)).closed[0]
    assert closed.seen == now(1)
    assert closed.gone == now(61)


def test_nothing_is_said_of_when_a_segment_came_that_was_there_at_the_start(run: SpoolRun, tmp_path: Path) -> None:
    write(run, 0)
    write(run, 1)
    found = Spool(tmp_path).runs()[0]
    assert [(one.seen, one.gone) for one in found.look(now(500)).closed] == [(None, None)]
    write(run, 2)
    second = found.look(now(501)).closed[1]
    assert (second.seen, second.gone) == (None, now(501))
    assert found.look(now(502), finished=True).closed[2].seen == now(501)


def test_bytes_only_grow_though_segments_leave_the_spool(run: SpoolRun) -> None:
    first = write(run, 0, bytes(1000))
    assert run.look(now(1)).bytes_total == 1000
    write(run, 1, bytes(10))
    first.unlink()
    assert run.look(now(2)).bytes_total == 1010
    assert run.look(now(3)).first_frame_seen


def test_what_is_no_regular_file_is_no_segment(run: SpoolRun, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.mp4"
    target.write_bytes(segment())
    (run.directory / "000000.mp4").symlink_to(target)
    os.mkfifo(run.directory / "000001.mp4")
    (run.directory / "000002.mp4").mkdir()
    assert indexes(run, finished=True) == []


def test_a_lost_record_is_made_up_from_name_and_footage(run: SpoolRun, tmp_path: Path) -> None:
    write(run, 0)
    write(run, 1, segment(width=1280, height=720))
    (run.directory / "run.json").write_bytes(b'{"v": 1, "run":')
    (found,) = Spool(tmp_path).runs()
    made_up = found.record
    assert (made_up.run.run_id, made_up.run.camera, made_up.run.sequence) == (run.record.run.run_id, "cam0", 1)
    assert (made_up.run.profile.width, made_up.run.profile.height) == (1280, 720)
    assert (made_up.run.purpose, made_up.run.mode) == (Purpose.RECORD, RECOVERED_MODE)
    assert made_up.spawned.wall == AT
    assert [one.index for one in found.look(now(), finished=True).closed] == [0, 1]


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "spool" / "holiday"
    foreign.mkdir(parents=True)
    (foreign / "000000.mp4").write_bytes(segment())
    (tmp_path / "spool" / "link").symlink_to(foreign)
    assert Spool(tmp_path).runs() == []
    assert (foreign / "000000.mp4").read_bytes() == segment()


def test_a_record_that_was_copied_into_another_directory_is_not_believed(run: SpoolRun, tmp_path: Path) -> None:
    copy = run.directory.with_name("20260101T000000Z-000009-cam1")
    copy.mkdir()
    (copy / "run.json").write_bytes((run.directory / "run.json").read_bytes())
    assert {found.record.run.camera for found in Spool(tmp_path).runs()} == {"cam0", "cam1"}


def test_a_run_without_footage_is_removed(run: SpoolRun) -> None:
    run.list_path.write_text("000000.mp4,0.0,2.0\n")
    run.stderr_path.write_text("bye\n")
    assert run.remove()
    assert not run.directory.exists()
    assert run.remove()


@pytest.mark.parametrize("name", ["000004.mp4", "notes.txt"])
def test_a_run_with_anything_of_worth_in_it_is_not_removed(run: SpoolRun, name: str, tmp_path: Path) -> None:
    (run.directory / name).write_bytes(b"x")
    assert not run.remove()
    assert (run.directory / name).read_bytes() == b"x"
    assert Spool(tmp_path).runs()[0].record == run.record


def test_a_spool_that_cannot_be_made_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(StorageError) as caught:
        Spool(tmp_path).create(run_record())
    assert caught.value.trouble is Trouble.IO_ERROR
    assert str(tmp_path / "spool") in str(caught.value)


def test_synced_footage_counts_as_verified_fragment_by_fragment(run: SpoolRun) -> None:
    path = write(run, 0)
    run.look(now(0))
    assert run.sync_open().verified_s == 0.0
    data = segment(5)
    with path.open("ab") as file:
        for second in range(1, 6):
            size = len(segment(second))
            file.write(data[file.tell() : size - 1])
            file.flush()
            run.look(now(second))
            assert run.sync_open().verified_s == second - 1
            file.write(data[size - 1 : size])
            file.flush()
            assert run.sync_open().verified_s == second
    run.close()


def test_footage_counts_as_verified_across_segments(run: SpoolRun) -> None:
    write(run, 0, segment(60))
    run.look(now(60))
    assert run.sync_open().verified_s == 60
    write(run, 1)
    run.look(now(60.5))
    assert run.sync_open().verified_s == 60
    write(run, 1, segment(2))
    run.look(now(63))
    assert run.sync_open().verified_s == 62
    (run.directory / "000000.mp4").unlink()
    (run.directory / "000001.mp4").unlink()
    run.look(now(64))
    assert run.sync_open().verified_s == 62
    run.close()


def test_frames_are_counted_in_whole_fragments_across_segments(run: SpoolRun) -> None:
    write(run, 0, segment(4)[:-1])
    run.look(now(4))
    assert (run.sync_open().frames, run.sync_open().media_s) == (90, 3.0)
    write(run, 0, segment(4))
    for index in (1, 2):
        write(run, index, segment(2))
        run.look(now(4 + 2 * index))
        synced = run.sync_open()
        assert (synced.frames, synced.media_s) == (120 + 60 * index, 4.0 + 2.0 * index)
    run.close()


def test_a_stream_stretched_by_a_clock_step_is_not_verified_beyond_now(run: SpoolRun) -> None:
    write(run, 0, segment(1) + fragment(3600 * 30_000, [50] * 30))
    run.look(now(3))
    assert run.sync_open().verified_s == 3.0
    run.close()


def test_syncing_keeps_no_descriptor_of_what_is_stored(run: SpoolRun) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for index in range(10):
        write(run, index, segment())
        run.look(now(index * 2 + 2))
        run.sync_open()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    run.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
