"""A disk that fails: errors, a turn to read-only, a stall. Real calls of the kernel meet a file system that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import RunningAgent, eventually, instant
from tests.fakes.mounts import Mounts
from tests.faults.machine import (
    FaultyDisk,
    assert_all_plays,
    assert_live,
    await_footage,
    await_no_problem,
    await_problem,
    codes,
    picture,
)

pytestmark = pytest.mark.slow

STALL_S = 20.0


@pytest.fixture
def disk(device: RunningAgent, mounts: Mounts, folder: Path) -> Iterator[FaultyDisk]:
    with FaultyDisk(mounts, folder) as disk:
        device.root = disk.backing
        device.set(recording__min_free_bytes=0)
        yield disk


def test_a_disk_that_fails_every_write_ends_recording_until_it_is_mended(
    device: RunningAgent, disk: FaultyDisk
) -> None:
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 2)
    disk.fail({"write": "EIO", "sync": "EIO", "change": "EIO"})
    assert "Input/output error" in await_problem(device, "disk_error")
    device.wait_for_state("fault")
    assert device.recorders() == {}
    assert_live(device)
    tries = device.log.count("camera program started")
    disk.fail({})
    device.wait_for_state("recording")
    assert device.log.count("camera program started") <= tries + 4
    await_no_problem(device, "disk_error")
    await_footage(device, 3)
    device.do("stop")
    assert device.found("spool/2*") == []
    assert assert_all_plays(device.root) >= 8


def test_footage_that_cannot_be_synced_is_told_and_not_called_safe(device: RunningAgent, disk: FaultyDisk) -> None:
    device.start()
    device.do("start", "cam0-640")
    await_footage(device, 1)
    recorders = device.recorders()
    disk.fail({"sync .mp4": "EIO"})
    assert "may be damaged" in await_problem(device, "disk_error")
    safe = _verified(device)
    eventually(lambda: len(device.found("spool/2*/*.mp4")) >= 3, "segments that cannot be stored")
    assert _verified(device) == safe
    assert device.status["state"] == "recording"
    disk.fail({})
    device.wait_for_event("segment_stored", lambda event: instant(event["started_at"]) > safe, times=3)
    eventually(lambda: _verified(device) > safe, "footage that is safe again")
    assert device.recorders() == recorders
    device.do("stop")
    assert_gapless(device, "cam0")


def _verified(agent: RunningAgent) -> datetime:
    """Up to when footage is called safe now."""
    return instant(agent.do("ping")["data"]["status"]["cameras"]["cam0"]["verified_until"])


def test_a_disk_that_turns_read_only_ends_recording_until_it_is_writable(
    device: RunningAgent, disk: FaultyDisk
) -> None:
    device.start()
    device.do("start", "cam0-640")
    await_footage(device, 1)
    disk.fail({"write": "EROFS", "sync": "EROFS", "change": "EROFS"})
    await_problem(device, "read_only")
    device.wait_for_state("fault")
    assert_live(device)
    kept = device.command("snapshot", "cam0")
    assert (kept["status"], kept["code"]) == ("failed", "read_only")
    device.do("stop")
    refused = device.command("start", "dual-640")
    assert (refused["status"], refused["code"]) == ("rejected", "read_only")
    disk.fail({})
    await_no_problem(device, "read_only")
    eventually(lambda: not device.found("spool/2*"), "what had stayed in the spool is stored")
    device.do("start", "dual-640")
    device.do("stop")
    assert assert_all_plays(device.root) >= 3


def test_a_disk_that_stalls_for_20_s_costs_no_frame(device: RunningAgent, disk: FaultyDisk) -> None:
    device.set(recording__segment_s=5)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    recorders = device.recorders()
    with disk.stalled():
        begun = time.monotonic()
        await_problem(device, "disk_stalled")
        assert time.monotonic() - begun < STALL_S
        assert device.do("ping")["data"]["status"]["state"] == "recording"
        assert picture(device, "cam0").startswith(b"\xff\xd8")
        eventually(lambda: time.monotonic() - begun >= STALL_S, "the end of the stall")
    await_no_problem(device, "disk_stalled")
    assert device.wait_for_state("recording")["cameras"]["cam0"]["restarts"] == 0
    stored = len(device.events("segment_stored"))
    device.wait_for_event("segment_stored", times=stored + 4)
    assert device.recorders() == recorders
    device.do("stop")
    for camera in ("cam0", "cam1"):
        (frames,) = assert_gapless(device, camera)
        assert frames > 30 * STALL_S


def test_an_agent_that_starts_while_its_disk_stalls_comes_up_and_goes_on(
    device: RunningAgent, disk: FaultyDisk
) -> None:
    device.start()
    device.do("start", {"mode": "cam0-640", "label": "trip"})
    await_footage(device, 1)
    recorders = device.recorders()
    device.kill()
    with disk.stalled():
        device.start()
        assert "does not answer" in await_problem(device, "disk_error")
        assert device.status["label"] == "trip"
        assert picture(device, "cam1").startswith(b"\xff\xd8")
        assert device.recorders() == recorders
    device.wait_for_state("recording")
    await_no_problem(device, "disk_error")
    await_footage(device, 2)
    device.do("stop")
    assert len(assert_gapless(device, "cam0")) == 2
    assert device.found("spool/2*") == []


def test_a_disk_that_is_torn_out_is_waited_for(
    device: RunningAgent, disk: FaultyDisk, mounts: Mounts, folder: Path
) -> None:
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    disk.pull_out()
    assert "Transport endpoint" in await_problem(device, "disk_error")
    device.wait_for_state("fault")
    mounts.unmount(folder)
    await_problem(device, "volume_missing")
    assert "disk_error" not in codes(device)
    with FaultyDisk(mounts, folder):
        device.wait_for_state("recording")
        await_footage(device, 2)
        device.do("stop")
        assert device.found("spool/2*") == []
        assert assert_all_plays(device.root) >= 6
