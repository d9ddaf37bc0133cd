"""A camera that delivers half its frames is named, counted truly, and left running."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import RunningAgent
from tests.faults.machine import await_footage, await_no_problem, await_problem, codes

pytestmark = pytest.mark.slow


def _fps(agent: RunningAgent, camera: str) -> float | None:
    """What the newest telemetry says."""
    told = agent.heard("telemetry")[-1].document["cameras"][camera]["fps"]
    return None if told is None else float(told)


def _await_fps(agent: RunningAgent, camera: str, low: float, high: float) -> None:
    def look(_: object) -> bool:
        fps = _fps(agent, camera)
        return fps is not None and low < fps < high

    agent.listener.wait(look, 45)


def test_half_the_frame_rate_is_named_measured_and_borne(make_agent: MakeAgent) -> None:
    device = make_agent(telemetry__interval_s=1)
    device.inject({"1": {"fault": "half_rate"}})
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    recorders = device.recorders()
    assert "cam1 delivers" in await_problem(device, "low_frame_rate")
    fault = device.wait_for_event("camera_fault")
    assert (fault["camera"], fault["code"]) == ("cam1", "low_frame_rate")
    _await_fps(device, "cam1", 13, 17)
    assert device.status["cameras"]["cam1"]["state"] == "running"
    _await_fps(device, "cam0", 25, 31)
    device.inject({})
    await_no_problem(device, "low_frame_rate")
    _await_fps(device, "cam1", 23, 31)
    assert device.wait_for_event("camera_recovered")["camera"] == "cam1"
    assert "low_frame_rate" not in codes(device)
    assert device.recorders() == recorders
    device.do("stop")
    assert len(assert_gapless(device, "cam1")) == 1
