"""A disk that is full: by others, by locks, without inodes. Recording stops cleanly, and goes on when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.agent import RunningAgent
from tests.fakes.mounts import Mounts
from tests.faults.machine import (
    assert_all_plays,
    assert_live,
    await_footage,
    await_no_problem,
    await_problem,
    codes,
    filled,
)

pytestmark = pytest.mark.slow


def test_a_disk_filled_by_others_ends_recording_cleanly_until_there_is_room(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    mounts.mount(folder)
    device.start()
    device.do("start", {"mode": "dual-640", "label": "full"})
    await_footage(device, 2)
    began = device.status["started_at"]
    with filled(device.root, leaving_bytes=1 << 20):
        assert "make room" in await_problem(device, "disk_full")
        fault = device.wait_for_state("fault")
        assert device.recorders() == {}
        assert {camera["state"] for camera in fault["cameras"].values()} == {"stopped"}
        assert len(device.events("storage_full")) == len(device.events("storage_low")) == 1
        deleted = device.events("segment_deleted")
        assert {event["reason"] for event in deleted} == {"min_free"}
        assert all(not (device.root / event["path"]).exists() for event in deleted)
        assert_live(device)
        assert device.command("start", "cam0-640")["code"] == "already_recording"
    again = device.wait_for_state("recording")
    assert (again["started_at"], again["label"]) == (began, "full")
    assert "disk_full" not in codes(device)
    assert {camera["restarts"] for camera in again["cameras"].values()} == {0}
    await_footage(device, 4)
    device.do("stop")
    assert assert_all_plays(device.root) > 0
    with filled(device.root, leaving_bytes=1 << 20):
        await_problem(device, "disk_full")
        refused = device.command("start", "dual-640")
        assert (refused["status"], refused["code"]) == ("rejected", "disk_full")
    await_no_problem(device, "disk_full")


def test_a_disk_that_is_full_of_locks_keeps_them_and_says_so(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    mounts.mount(folder)
    device.set(recording__lock_quota_percent=100)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 2)
    device.do("lock", {"before": "10m", "after": "1h", "label": "crash"})
    locked = {path.name for path in device.found("*x*/*/*.mp4")}
    with filled(device.root, leaving_bytes=1 << 20):
        assert "locked" in await_problem(device, "disk_full")
        device.wait_for_state("fault")
        refused = device.command("snapshot")
        assert refused["code"] in ("ok", "disk_full")
        assert locked <= {path.name for path in device.found("*x*/*/*.mp4")}
        assert device.events("segment_deleted") == []
        assert len(device.do("unlock", "crash")["data"]["unlocked"]) >= len(locked)
        device.wait_for_event("segment_deleted")
    await_no_problem(device, "disk_full")
    device.wait_for_state("recording")
    device.do("stop")


def test_a_disk_without_inodes_is_full_too(device: RunningAgent, mounts: Mounts, folder: Path) -> None:
    mounts.mount(folder, inodes=340)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    small = [device.root / f"{number}.txt" for number in range(200)]
    for path in small:
        path.touch()
    assert "inodes" in await_problem(device, "disk_full")
    device.wait_for_state("fault")
    assert {event["reason"] for event in device.events("segment_deleted")} == {"min_free_inodes"}
    assert_live(device)
    for path in small:
        path.unlink()
    device.wait_for_state("recording")
    await_no_problem(device, "disk_full")
    device.do("stop")
    assert assert_all_plays(device.root) > 0
