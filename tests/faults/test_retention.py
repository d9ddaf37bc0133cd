"""Retention keeps the configured limits while cameras record, and never touches what is locked, open or being read."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.fakes.agent import Document, RunningAgent, eventually, instant
from tests.fakes.mounts import Mounts
from tests.faults.machine import FLOOR_BYTES, assert_all_plays, await_footage, await_problem, codes, filled, get, page
from tests.faults.test_clock import OTHER_CLOCK, WallClock

pytestmark = pytest.mark.slow

SECOND = timedelta(seconds=1)


@contextmanager
def download(agent: RunningAgent, path: str) -> Iterator[HTTPResponse]:
    """A download by somebody slow, of which nothing was read yet."""
    connection = page(agent)
    connection.sock = socket.socket()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sock.connect((connection.host, connection.port))
    try:
        connection.request("GET", f"/recordings/{path}")
        yield connection.getresponse()
    finally:
        connection.close()


def _open_bytes(agent: RunningAgent, camera: str) -> int:
    """How much the segment holds that the camera's recorder is writing."""
    with suppress(FileNotFoundError, ValueError):
        return max(agent.found(f"spool/*-{camera}/*.mp4")).stat().st_size
    return 0


def _unlocked_of(camera: str, event: Document) -> bool:
    return event["camera"] == camera and not event["locked"]


def test_the_oldest_footage_makes_room_while_recording_goes_on(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    mounts.mount(folder)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 4)
    recorders = device.recorders()
    oldest = device.events("segment_stored")[0]["path"]
    content = (device.root / oldest).read_bytes()
    with filled(device.root, leaving_bytes=FLOOR_BYTES - 200_000):
        with download(device, oldest) as answer:
            await_problem(device, "disk_low")
            device.wait_for_event("segment_deleted", lambda event: event["path"] == oldest)
            assert answer.read() == content
        assert not (device.root / oldest).exists()
        deleted = device.wait_for_event("segment_deleted", times=4)
        assert deleted["reason"] == "min_free"
        assert device.status["state"] == "recording"
        assert device.recorders() == recorders
        assert "disk_full" not in codes(device)
        stored = [event["path"] for event in device.events("segment_stored")]
        gone = [event["path"] for event in device.events("segment_deleted")]
        assert set(gone) <= set(stored)
        kept = {path for path in stored if (device.root / path).exists()}
        assert max(stored.index(path) for path in gone) < min(map(stored.index, kept)) + 3
    device.do("stop")
    assert assert_all_plays(device.root) == len(device.found("*x*/*/*.mp4"))


def test_footage_that_is_too_old_goes_and_the_rest_stays(make_agent: MakeAgent, tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock.json")
    device = make_agent(
        variables={"PYTHONPATH": str(OTHER_CLOCK), "FAKE_CLOCK": str(clock.path)}, recording__max_age=3600
    )
    clock.put(-2 * 3600.0)
    device.start()
    device.do("start", "cam0-640")
    await_footage(device, 6)
    device.do("lock", {"before": "1s", "label": "keep"})
    device.do("stop")
    old = {path.name for path in device.stored("cam0")}
    kept = {path.with_suffix(".mp4").name for path in device.found("*x*/*/*.lock")}
    device.stop()

    clock.put(0.0)
    device.start()
    deleted = device.wait_for_event("segment_deleted")
    assert deleted["reason"] == "max_age"
    assert kept
    assert kept <= {path.name for path in device.stored("cam0")}
    gone = {Path(event["path"]).name for event in device.events("segment_deleted")}
    assert gone <= old - kept
    assert 1 <= len(gone) <= max(1, len(old) // 5 + 1), "a fifth at a time, for the clock may be wrong"


def test_locks_cover_what_is_being_recorded_and_outlive_a_power_cut(make_agent: MakeAgent) -> None:
    device = make_agent(recording__segment_s=4)
    device.start()
    device.do("start", {"mode": "dual-640"})
    await_footage(device, 1)
    # What is lost in a power cut is less than a fragment of each; this is about the rest.
    eventually(lambda: _open_bytes(device, "cam0") and _open_bytes(device, "cam1"), "frames in the open segments")
    result = device.do("lock", {"label": "crash"})
    assert result["data"]["pending"] is True
    assert {event["path"] for event in device.events("segment_locked")} == set(result["data"]["locked"])
    stored = {event["path"] for event in device.events("segment_stored")}
    device.kill_everything()

    device.start()
    device.wait_for_state("recording")
    for camera in ("cam0", "cam1"):
        device.wait_for_event("segment_stored", partial(_unlocked_of, camera))
    device.do("stop")
    locked = {str(path.relative_to(device.root).with_suffix(".mp4")) for path in device.found("*x*/*/*.lock")}
    assert set(result["data"]["locked"]) <= locked & stored
    after = device.events("segment_stored")
    window_end = instant(result["data"]["to"])
    assert {event["camera"] for event in after if event["locked"]} == {"cam0", "cam1"}
    assert all(event["locked"] for event in after if instant(event["started_at"]) < window_end)
    # The answer names whole seconds.
    assert not any(event["locked"] for event in after if instant(event["started_at"]) > window_end + SECOND)
    assert {event["path"] for event in after if event["locked"]} == locked - stored
    listed = json.loads(get(device, "/api/recordings?locked=true&limit=100"))["recordings"]
    assert {one["path"] for one in listed} == locked
    assert set(device.do("unlock", "crash")["data"]["unlocked"]) == locked
    eventually(lambda: not device.found("*x*/*/*.lock"), "no lock is left")


def test_locks_take_no_more_than_their_share(device: RunningAgent, mounts: Mounts, folder: Path) -> None:
    mounts.mount(folder, size="32m")
    device.set(recording__lock_quota_percent=1)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 2)
    device.do("stop")
    before = {path.name for path in device.found("*x*/*/*.lock")}
    refused = device.command("lock", {"before": "10m", "label": "too much"})
    assert (refused["status"], refused["code"]) == ("failed", "lock_quota")
    assert "unlock something first" in refused["message"]
    assert {path.name for path in device.found("*x*/*/*.lock")} == before == set()


def test_a_picture_every_moment_drives_out_no_footage(make_agent: MakeAgent) -> None:
    device = make_agent(recording__max_bytes=2_000_000)
    device.start()
    kept = device.do("snapshot", "cam1")["data"]["snapshots"]["cam1"]["path"]
    (device.root / kept).with_suffix(".lock").touch()
    taken = [device.do("snapshot", "cam0")["data"]["snapshots"]["cam0"]["path"] for _ in range(12)]
    device.do("start", "cam0-640")

    quota_bytes = 200_000
    assert device.bytes_of("snapshots/cam0/*.jpg") > quota_bytes
    eventually(lambda: device.bytes_of("snapshots/cam0/*.jpg") <= quota_bytes, "the share of snapshots")
    assert device.events("segment_deleted") == []
    device.do("stop")
    left = [path for path in taken if (device.root / path).exists()]
    assert left == taken[-len(left) :], "the oldest went"
    assert (device.root / kept).exists()
    device.stop()
    device.start()
    deleted = left[-1]
    connection = page(device)
    connection.request("DELETE", f"/api/recordings/{deleted}")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (204, b"")
    connection.close()
    assert not (device.root / deleted).exists()
