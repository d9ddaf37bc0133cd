"""Cameras that are missing, busy or dead from the start: the answer and the status name them, the others record."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import RunningAgent, problems

pytestmark = pytest.mark.slow


def test_a_missing_camera_is_named_and_the_other_one_records(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.inject({"1": {"fault": "no_camera"}})
    agent.start()
    assert problems(agent.wait_for(problems)).keys() == {"camera_missing"}
    assert {one["id"]: one["present"] for one in agent.heard("info")[-1].document["cameras"]} == {
        "cam0": True,
        "cam1": False,
    }
    assert agent.heard("cam1/availability")[-1].payload == b"offline"
    assert agent.heard("cam0/availability")[-1].payload == b"online"
    for mode in ("dual-640", "cam1-720p", "quick", "stream"):
        result = agent.command("start", {"mode": mode})
        assert (result["status"], result["code"]) == ("rejected", "camera_missing")
        assert "cam1" in result["message"]
    agent.do("start", "cam0-640")
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1


def test_without_any_camera_every_start_says_so(make_agent: MakeAgent) -> None:
    agent = make_agent()
    agent.inject({"*": {"fault": "no_camera"}})
    agent.start()
    result = agent.command("start")
    assert (result["status"], result["code"]) == ("rejected", "camera_missing")
    assert agent.status["state"] == "idle"


def test_a_busy_camera_fails_a_start_of_its_own(agent: RunningAgent) -> None:
    agent.inject({"0": {"fault": "busy"}})
    result = agent.command("start", {"mode": "cam0-640"})
    assert (result["status"], result["code"]) == ("failed", "camera_busy")
    assert "cam0" in result["message"]
    status = agent.wait_for_state("idle")
    assert status["cameras"]["cam0"]["state"] == "stopped"
    assert agent.stored("cam0") == []
    agent.inject({})
    agent.do("start", "cam0-640")
    assert problems(agent.wait_for_state("recording")) == {}


def test_a_busy_camera_joins_the_recording_when_it_is_free(agent: RunningAgent) -> None:
    agent.inject({"1": {"fault": "busy"}})
    result = agent.command("start", {"mode": "dual-640"})
    assert (result["status"], result["code"]) == ("failed", "partial")
    assert result["data"] == {"running": ["cam0"], "waiting": ["cam1"]}
    status = agent.wait_for(problems)
    assert problems(status).keys() == {"camera_busy"}
    assert (status["state"], status["cameras"]["cam0"]["recording"]) == ("recording", True)
    assert "cam1" in problems(status)["camera_busy"]
    assert agent.heard("cam1/availability")[-1].payload == b"offline"
    agent.inject({})
    agent.wait_for(lambda status: status["cameras"]["cam1"]["recording"] and not problems(status), "cam1 joins")
    agent.wait_for_event("camera_recovered")
    assert agent.heard("cam1/availability")[-1].payload == b"online"
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1
    assert len(assert_gapless(agent, "cam1")) == 1


def test_a_camera_unplugged_while_recording_is_missing_until_it_is_back(agent: RunningAgent) -> None:
    agent.do("start", "dual-640")
    pid = agent.recorders()["cam0"]
    agent.inject({"1": [{"fault": "timeout"}, {"fault": "no_camera"}]})
    agent.wait_for(lambda status: "camera_missing" in problems(status), "camera_missing")
    agent.wait_for_event("camera_fault", lambda event: event["code"] == "camera_missing")
    told = [event["code"] for event in agent.events("camera_fault")]
    assert told == ["no_frames", "camera_missing"]
    agent.inject({})
    agent.wait_for(lambda status: status["cameras"]["cam1"]["recording"] and not problems(status), "cam1 is back")
    assert agent.recorders()["cam0"] == pid
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1
    assert len(assert_gapless(agent, "cam1")) == 2


def test_a_camera_without_frames_fails_the_start_in_time(agent: RunningAgent) -> None:
    agent.inject({"0": {"fault": "freeze"}})
    result = agent.command("start", {"mode": "cam0-640"})
    assert (result["status"], result["code"]) == ("failed", "no_frames")
    assert result["took_ms"] < 15_000
    agent.wait_for_state("idle")
    assert agent.recorders() == {}
    agent.inject({})
    agent.do("start", "dual-640")
    agent.do("stop")


def test_a_stream_of_a_broken_camera_shows_the_other_one(agent: RunningAgent) -> None:
    agent.inject({"0": {"fault": "busy"}})
    result = agent.command("stream", {"state": "ON"})
    assert (result["status"], result["code"]) == ("failed", "partial")
    assert agent.wait_for_state("streaming")["cameras"]["cam1"]["state"] == "running"
    agent.do("stream", "OFF")
    agent.wait_for_state("idle")


def test_a_mode_switch_to_a_broken_camera_goes_back(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "cam0-640", "label": "kept", "duration": "1h"})
    before = agent.status
    agent.inject({"1": {"fault": "busy"}})
    result = agent.command("mode", {"mode": "cam1-720p"})
    assert (result["status"], result["code"]) == ("failed", "camera_busy")
    after = agent.wait_for_state("recording")
    kept = ("mode", "label", "started_at", "ends_at")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 2
