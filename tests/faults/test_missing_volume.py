"""The recording volume is not there, goes, or is another one. The disk in its place is never written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mounts import Mounts
from tests.faults.machine import (
    assert_all_plays,
    assert_live,
    await_footage,
    await_no_problem,
    await_problem,
    codes,
)

pytestmark = pytest.mark.slow


def test_a_volume_that_is_another_one_or_missing_at_the_start_is_waited_for(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    away = folder.with_name("away")
    mounts.mount(folder)
    device.start()
    device.do("start", {"mode": "dual-640", "label": "trip"})
    await_footage(device, 1)
    began = device.status["started_at"]
    device.kill_everything()
    mounts.move(folder, away)
    mounts.mount(folder)
    (device.root / ".edge-agent-volume").write_text('{"v": 1, "uuid": "somebody else\'s"}')

    device.start()
    assert "another device" in await_problem(device, "volume_missing")
    assert [path.name for path in device.root.iterdir()] == [".edge-agent-volume"]
    mounts.unmount(folder)
    device.wait_for(lambda status: "not mounted" in status["problems"][0]["message"], "no volume at all")
    assert device.status["state"] == "fault"
    assert_live(device)
    assert device.command("start", "cam0-640")["code"] == "already_recording"
    assert device.command("snapshot")["status"] == "failed"
    assert device.command("lock")["status"] == "failed"
    assert device.heard("cam0/snapshot")[-1].payload.startswith(b"\xff\xd8")
    assert list(device.root.iterdir()) == []

    mounts.move(away, folder)
    again = device.wait_for_state("recording")
    assert (again["started_at"], again["label"]) == (began, "trip")
    assert "volume_missing" not in codes(device)
    await_footage(device, 2)
    device.do("stop")
    assert device.found("spool/2*") == []
    assert assert_all_plays(device.root) >= 8


def test_a_volume_that_is_pulled_out_while_recording_stops_it_until_it_is_back(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    away = folder.with_name("away")
    mounts.mount(folder)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    mounts.move(folder, away)
    await_problem(device, "volume_missing")
    fault = device.wait_for_state("fault")
    assert {camera["state"] for camera in fault["cameras"].values()} == {"stopped"}
    left = list(mounts.seen(away).glob("spool/2*/*.mp4"))
    assert {path.parent.name[-4:] for path in left} == {"cam0", "cam1"}
    assert_live(device)
    device.do("stop")
    refused = device.command("start", "dual-640")
    assert (refused["status"], refused["code"]) == ("rejected", "internal")
    assert "not mounted" in refused["message"]
    assert list(device.root.iterdir()) == []

    mounts.move(away, folder)
    await_no_problem(device, "volume_missing")
    eventually(lambda: not device.found("spool/2*"), "what had stayed in the spool is stored")
    device.do("start", "dual-640")
    await_footage(device, 3)
    device.do("stop")
    assert device.found("spool/2*") == []
    assert assert_all_plays(device.root) >= 8
