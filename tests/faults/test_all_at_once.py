"""Clock, disk, broker and cameras fail together at the start: the agent stays up, names each, and each heals alone."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import Document, RunningAgent, eventually
from tests.fakes.mounts import Mounts
from tests.faults.machine import await_no_problem, await_problem, codes
from tests.faults.test_clock import NINE_YEARS_S, OTHER_CLOCK, WallClock

pytestmark = pytest.mark.slow


def _status(agent: RunningAgent) -> Document | None:
    """The status over HTTP, for a device that no broker hears; None until its page is there."""
    found = re.search(r"url=http://([0-9.:]+)/", agent.log)
    if found is None:
        return None
    connection = HTTPConnection(found[1], timeout=40)
    try:
        connection.request("GET", "/api/blackbox/status")
        status: Document = json.loads(connection.getresponse().read())
    except OSError:
        return None
    finally:
        connection.close()
    return status


def test_whatever_fails_together_at_the_start_heals_one_by_one(
    device: RunningAgent, mounts: Mounts, folder: Path, tmp_path: Path
) -> None:
    clock, away = WallClock(tmp_path / "clock.json"), folder.with_name("away")
    clock.put(0.0)
    device.let({"PYTHONPATH": str(OTHER_CLOCK), "FAKE_CLOCK": str(clock.path)})
    device.set(telemetry__interval_s=1)
    mounts.mount(folder)
    device.start()
    device.do("start", {"mode": "dual-640", "label": "trip"})
    device.wait_for_event("segment_stored")
    device.kill_everything()

    mounts.move(folder, away)
    device.broker.stop()
    device.inject({"*": {"fault": "busy"}})
    clock.put(-NINE_YEARS_S, synchronized=False)
    device.spawn()

    def named() -> Document | None:
        status = _status(device)
        told = {problem["code"] for problem in status["problems"]} if status else set()
        return status if {"volume_missing", "broker_unreachable"} <= told else None

    status = eventually(named, "disk and broker named")
    assert status is not None
    assert (status["state"], status["label"]) == ("fault", "trip")

    device.broker.start()
    device.await_online()
    device.listener.wait(lambda _: device.heard("telemetry"), 45)
    assert device.heard("telemetry")[-1].document["clock_synchronized"] is False
    assert "broker_unreachable" not in codes(device)
    assert "volume_missing" in codes(device)

    mounts.move(away, folder)
    await_no_problem(device, "volume_missing")
    await_problem(device, "camera_busy")
    assert device.wait_for_event("camera_fault")["code"] == "camera_busy"

    device.inject({})
    recording = device.wait_for_state("recording")
    assert recording["label"] == "trip"
    device.wait_for(lambda one: {camera["state"] for camera in one["cameras"].values()} == {"running"}, "both cameras")
    await_no_problem(device, "camera_busy")

    clock.step(device, NINE_YEARS_S)
    device.wait_for_event("clock_stepped")
    device.listener.wait(lambda _: device.heard("telemetry")[-1].document["clock_synchronized"] is True, 45)
    assert codes(device) == set()
    device.do("stop")
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(device, camera)) == 2
