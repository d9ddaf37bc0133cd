from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.storage.archive import Archive
from edge_agent.storage.locks import LockWindow
from edge_agent.storage.spool import Spool
from tests.cli.conftest import Command
from tests.fakes.fleet import fleet
from tests.fakes.mosquitto import Mosquitto
from tests.storage.footage import now, record_segment, run_record, spool_segment, store

AT = "2026-11-23T09:15:00Z"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of H.264 that claims the size that the records say."""
    path = record_segment(tmp_path_factory.mktemp("footage") / "one.mp4", seconds=2.0)
    return path.read_bytes().replace(b"\x01\x40\x00\x00\x00\xf0\x00\x00", b"\x02\x80\x00\x00\x01\xe0\x00\x00")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def archive(tmp_path: Path, root: Path) -> Iterator[Archive]:
    """The archive of an agent that goes on running beside the tools."""
    root.mkdir()
    archive = Archive(root, tmp_path / "state")
    archive.reconcile()
    yield archive
    archive.close()


@pytest.fixture
def paths(root: Path, archive: Archive, recorded: bytes) -> list[str]:
    """Two runs of cam0, one of cam1, of 2 s a segment; the oldest segment is locked."""
    stored = store(root, archive, run_record(1, "cam0"), 3, recorded)
    stored += store(root, archive, run_record(2, "cam1"), 1, recorded)
    stored += store(root, archive, run_record(3, "cam0", first=now(10), label="tour 7"), 1, recorded)
    instant = datetime(2026, 11, 23, 9, 15, 1, tzinfo=UTC)
    archive.lock(LockWindow(instant, instant, "accident", None, instant))
    return stored


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
    }


def test_segments_are_listed_newest_first_and_summed_up(edge_agent: Command, paths: list[str]) -> None:
    said = edge_agent("recordings", "list")
    header, *rows, empty, total = said.out.splitlines()
    assert (said.code, said.err, empty) == (0, "", "")
    assert header.split() == ["START", "CAMERA", "MODE", "LENGTH", "SIZE", "LOCK", "UPLOADED", "PATH"]
    assert rows[0].split()[-1] == paths[4]
    assert {row.split()[-1] for row in rows} == set(paths)
    assert total.startswith("5 segments, 0:10, ")


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        (("--camera", "cam1"), {3}),
        (("--label", "tour 7"), {4}),
        (("--label", "accident"), {0, 3}),
        (("--locked",), {0, 3}),
        (("--unlocked", "--camera", "cam0"), {1, 2, 4}),
        (("--from", "2026-11-23T09:15:03Z"), {1, 2, 4}),
        (("--to", "1795425303"), {0, 1, 3}),
        (("--mode", "demo"), set()),
        (("--limit", "1"), {4}),
    ],
)
def test_filters_leave_what_they_name(
    edge_agent: Command, paths: list[str], filters: tuple[str, ...], places: set[int]
) -> None:
    said = edge_agent("recordings", "list", "--json", *filters)
    documents = json.loads(said.out)
    assert {one["path"] for one in documents} == {paths[place] for place in places}
    assert all(one["url"].startswith("/recordings/") for one in documents)


@pytest.mark.parametrize(
    ("window", "named"),
    [
        (("--from", "yesterday"), "--from: 'yesterday'"),
        (("--to", "2026-11-23T09:15:00"), "--to: '2026-11-23T09:15:00' has no time zone"),
        (("--from", AT, "--to", AT), "--to is not later than --from"),
    ],
)
def test_a_window_that_is_none_is_exit_2(
    edge_agent: Command, paths: list[str], window: tuple[str, ...], named: str
) -> None:
    said = edge_agent("recordings", "list", *window)
    assert said.code == 2
    assert named in said.err


def test_the_tools_change_nothing_and_see_what_the_running_agent_stores(
    edge_agent: Command, root: Path, archive: Archive, paths: list[str], recorded: bytes, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    for command in (("list",), ("verify",), ("verify", "--every-byte"), ("plan",)):
        assert edge_agent("recordings", *command).code == 0
    assert tree(tmp_path) == before
    (fresh,) = store(root, archive, run_record(9, "cam1", first=now(60)), 1, recorded)
    assert fresh in edge_agent("recordings", "list").out


def test_they_work_without_the_agents_cache_and_with_a_broken_one(
    edge_agent: Command, archive: Archive, paths: list[str], tmp_path: Path
) -> None:
    archive.close()
    for index in (tmp_path / "state").glob("archive-index.sqlite*"):
        index.unlink()
    assert len(json.loads(edge_agent("recordings", "list", "--json").out)) == 5
    (tmp_path / "state" / "archive-index.sqlite").write_bytes(b"rubbish" * 1000)
    assert len(json.loads(edge_agent("recordings", "list", "--json").out)) == 5


def test_an_archive_that_is_not_there_is_exit_1(edge_agent: Command) -> None:
    said = edge_agent("recordings", "list")
    assert said.code == 1
    assert "there is no archive at" in said.err


def test_sound_footage_is_verified_and_its_gap_explained(edge_agent: Command, paths: list[str]) -> None:
    said = edge_agent("recordings", "verify")
    assert said.code == 0
    gap, total = said.out.splitlines()
    assert gap.startswith("gap: cam0 from 2026-11-23T09:15:06Z for 4.0 s, camera_fault: ")
    assert total.endswith(": 0 damaged, 1 gap")


def test_damage_is_named_and_exit_1(edge_agent: Command, root: Path, paths: list[str]) -> None:
    os.truncate(root / paths[1], 5000)
    (root / paths[4]).unlink()
    said = edge_agent("recordings", "verify", "--json")
    document = json.loads(said.out)
    assert said.code == 1
    assert (document["segments"], document["frames"]) == (4, 180)
    (damaged,) = document["damaged"]
    assert damaged["path"] == paths[1]
    assert damaged["damage"] == "holds no whole picture"
    (gap,) = document["gaps"]
    assert (gap["camera"], gap["reason"], gap["length_s"]) == ("cam0", "missing", 2.0)


def test_the_plan_names_what_goes_when_and_why(edge_agent: Command, paths: list[str]) -> None:
    said = edge_agent("recordings", "plan", "--json", recording__max_bytes=1_000_000, recording__min_free_bytes=0)
    rows = json.loads(said.out)
    assert [row["path"] for row in rows] == [paths[1], paths[2], paths[4]]
    assert {row["reason"] for row in rows} == {"max_bytes"}
    assert all(row["when"].endswith("Z") for row in rows)


def test_a_plan_without_room_says_what_goes_now(edge_agent: Command, paths: list[str]) -> None:
    said = edge_agent("recordings", "plan", recording__min_free_percent=100)
    rows = [line.split() for line in said.out.splitlines() if line.startswith("now ")]
    assert [row[-1] for row in rows] == [paths[1], paths[2], paths[4]]
    assert {row[1] for row in rows} == {"min_free"}
    assert said.out.endswith("recording stops with disk_full until something is unlocked or deleted.\n")


def probe(path: Path) -> tuple[int, float]:
    entries = "stream=nb_read_frames:format=duration"
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return int(found["streams"][0]["nb_read_frames"]), float(found["format"]["duration"])


def test_a_clip_joins_segments_the_one_being_written_included(
    edge_agent: Command, root: Path, archive: Archive, paths: list[str], recorded: bytes, tmp_path: Path
) -> None:
    run = Spool(root).create(run_record(7, "cam0", first=now(12)))
    spool_segment(run, 0, recorded, start_s=0.0)
    window = ("--from", "2026-11-23T09:15:10Z", "--to", "2026-11-23T09:15:30Z")
    said = edge_agent("recordings", "clip", "cam0", *window, "--output", str(tmp_path / "clip.mp4"))
    assert (said.code, said.err) == (0, "")
    frames, duration_s = probe(tmp_path / "clip.mp4")
    assert frames == 120
    assert duration_s == pytest.approx(4.0, abs=0.1)
    run.close()


def test_a_file_that_a_clip_has_to_do_without_is_named(
    edge_agent: Command, root: Path, paths: list[str], tmp_path: Path
) -> None:
    damaged = root / paths[1]
    stat = damaged.stat()
    damaged.write_bytes(bytes(stat.st_size))
    os.utime(damaged, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a worn card damages: nobody wrote the file
    window = ("--from", "2026-11-23T09:15:00Z", "--to", "2026-11-23T09:15:06Z")
    said = edge_agent("recordings", "clip", "cam0", *window, "--output", str(tmp_path / "clip.mp4"))
    assert said.code == 0
    assert said.err == f"{damaged} cannot be read and is not in the clip\n"
    assert ": 2 segments, " in said.out
    assert probe(tmp_path / "clip.mp4")[0] == 120


def test_a_folder_that_cannot_take_the_clip_is_named(edge_agent: Command, paths: list[str], tmp_path: Path) -> None:
    window = ("--from", "2026-11-23T09:15:00Z", "--to", "2026-11-23T09:15:06Z")
    said = edge_agent("recordings", "clip", "cam0", *window, "--output", str(tmp_path / "none" / "clip.mp4"))
    assert said.code == 1
    assert said.err == f"edge-agent recordings clip: {tmp_path / 'none'} is no folder that can be written to\n"


def test_a_clip_of_nothing_and_of_an_unknown_camera_is_told(edge_agent: Command, paths: list[str]) -> None:
    window = ("--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z")
    empty = edge_agent("recordings", "clip", "cam0", *window)
    assert (empty.code, empty.err) == (1, "cam0 has no footage from 2020-01-01T00:00:00Z to 2020-01-02T00:00:00Z\n")
    unknown = edge_agent("recordings", "clip", "cam7", *window)
    assert unknown.code == 2
    assert "there is no cam7, only cam0, cam1" in unknown.err


def test_locks_are_the_running_agents_business(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 1):
        edge_agent("send", "start", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
        edge_agent("send", "stop")
        locked = edge_agent("recordings", "lock", "--before", "1h", "--label", "tour")
        released = edge_agent("recordings", "unlock", "--label", "tour", "--from", "0")
    # How many there are depends on how long the two commands took.
    (count,) = re.findall(r"succeeded ok: locked (\d+) segments", locked.out)
    assert int(count) >= 2
    assert f"succeeded ok: unlocked {count} segments" in released.out
    assert (locked.code, released.code) == (0, 0)


def test_nothing_is_unlocked_without_saying_what(edge_agent: Command) -> None:
    said = edge_agent("recordings", "unlock")
    assert said.code == 2
    assert "give --label, --from or --to" in said.err


def test_a_lock_without_a_running_agent_says_so(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    said = edge_agent("recordings", "lock", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert said.err.startswith("edge-agent recordings lock: broker_unreachable:")
    assert said.err.endswith("mqtt.host is not set, so it is the agent's own: is the agent running?\n")
