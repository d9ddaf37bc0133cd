"""A recorder that dies or falls silent in the middle: named, replaced, and no affair of the other camera."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.end_to_end.footage import assert_gapless, metadata, stored_runs
from tests.fakes.agent import Document, RunningAgent, eventually, problems

pytestmark = pytest.mark.slow

HEALED_WITHIN = timedelta(seconds=5)


def _start(agent: RunningAgent) -> None:
    agent.do("start", "dual-640")
    agent.wait_for(lambda status: {one["state"] for one in status["cameras"].values()} == {"running"})


def _fault(agent: RunningAgent, camera: str = "cam0") -> Document:
    return agent.wait_for_event("camera_fault", lambda event: event["camera"] == camera)


def _await_recovery(agent: RunningAgent, camera: str = "cam0") -> None:
    agent.wait_for_event("camera_recovered", lambda event: event["camera"] == camera)
    status = agent.wait_for(lambda status: status["cameras"][camera]["state"] == "running" and not problems(status))
    assert status["cameras"][camera]["error"] is None
    assert status["state"] == "recording"


def _gaps(agent: RunningAgent, camera: str) -> list[timedelta]:
    """How long nothing was recorded between two lives of a camera's recorder."""
    lives = [[metadata(path) for path in paths] for paths in stored_runs(agent, camera)]
    spans = [(life[0].started_at, life[-1].started_at + timedelta(seconds=life[-1].duration_s)) for life in lives]
    return [later[0] - earlier[1] for earlier, later in pairwise(spans)]


def _assert_untouched(agent: RunningAgent, pid: int, camera: str = "cam1") -> None:
    assert agent.recorders()[camera] == pid
    assert agent.status["cameras"][camera]["restarts"] == 0
    agent.do("stop")
    assert len(assert_gapless(agent, camera)) == 1
    assert [event for event in agent.events("camera_fault") if event["camera"] == camera] == []


def test_a_killed_recorder_is_replaced_and_the_other_camera_has_no_gap(agent: RunningAgent) -> None:
    _start(agent)
    agent.wait_for_segments("cam0", 1)
    pids = agent.recorders()
    os.kill(pids["cam0"], signal.SIGKILL)
    assert _fault(agent)["code"] == "killed"
    _await_recovery(agent)
    assert agent.status["cameras"]["cam0"]["restarts"] == 1
    agent.wait_for_segments("cam0", 3)
    _assert_untouched(agent, pids["cam1"])
    assert len(assert_gapless(agent, "cam0")) == 2
    assert all(timedelta(seconds=-0.5) < gap < HEALED_WITHIN for gap in _gaps(agent, "cam0"))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "segv"}, "crashed"),
        ({"fault": "clock_step"}, "clock_step"),
        ({"fault": "abort", "what": "failed to write output bytes"}, "output_failed"),
        ({"fault": "die", "exit": 255}, "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_crash_is_named_and_mended(agent: RunningAgent, fault: Document, code: str) -> None:
    _start(agent)
    pid = agent.recorders()["cam1"]
    agent.wait_for_segments("cam0", 1)
    agent.inject({"0": fault | {"after_s": 1}})
    assert _fault(agent)["code"] == code
    agent.inject({})
    _await_recovery(agent)
    _assert_untouched(agent, pid)
    frames = assert_gapless(agent, "cam0")
    assert len(frames) >= 2
    assert frames[0] >= 15, "what was recorded before the crash is stored"


@pytest.mark.parametrize("fault", ["timeout", "freeze"])
def test_a_camera_without_frames_is_named_and_started_anew(agent: RunningAgent, fault: str) -> None:
    _start(agent)
    pids = agent.recorders()
    agent.wait_for_segments("cam0", 1)
    agent.inject({"0": {"fault": fault}})
    told = _fault(agent)
    assert told["code"] == "no_frames"
    assert told["message"]
    assert "ignored SIGINT" not in agent.log, "a recorder without frames does not hear it"
    agent.inject({})
    _await_recovery(agent)
    assert agent.recorders()["cam0"] != pids["cam0"]
    _assert_untouched(agent, pids["cam1"])
    assert len(assert_gapless(agent, "cam0")) >= 2


def test_a_recorder_deaf_to_sigint_is_ended_and_its_footage_kept(agent: RunningAgent) -> None:
    agent.inject({"0": {"fault": "deaf"}})
    _start(agent)
    agent.wait_for_segments("cam0", 1)
    agent.do("stop")
    assert agent.status["state"] == "idle"
    assert "ignored SIGINT" in agent.log
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(agent, camera)) == 1


def test_a_recorder_that_hangs_whole_is_ended_by_a_stop(agent: RunningAgent) -> None:
    _start(agent)
    agent.wait_for_segments("cam0", 1)
    os.kill(agent.recorders()["cam0"], signal.SIGSTOP)
    agent.do("stop")
    assert agent.recorders() == {}
    assert len(assert_gapless(agent, "cam0")) == 1


def test_half_the_frame_rate_is_named_until_it_is_over(agent: RunningAgent) -> None:
    _start(agent)
    agent.inject({"0": {"fault": "half_rate"}})
    assert _fault(agent)["code"] == "low_frame_rate"
    assert "cam0" in problems(agent.wait_for(problems))["low_frame_rate"]
    assert agent.status["cameras"]["cam0"]["state"] == "running"
    agent.inject({})
    agent.wait_for_event("camera_recovered")
    agent.wait_for(lambda status: not problems(status))
    _assert_untouched(agent, agent.recorders()["cam1"])
    assert len(assert_gapless(agent, "cam0")) == 1


def test_a_recorder_that_dies_again_and_again_is_given_up_until_a_command(agent: RunningAgent) -> None:
    agent.inject({"0": {"fault": "die", "exit": 1}})
    result = agent.command("start", {"mode": "dual-640"})
    assert (result["status"], result["code"]) == ("failed", "partial")
    pid = agent.recorders()["cam1"]
    status = agent.wait_for(lambda status: status["cameras"]["cam0"]["state"] == "fatal", "fatal")
    assert status["state"] == "recording"
    assert problems(status).keys() == {"unknown"}
    agent.inject({})
    _assert_untouched(agent, pid)
    agent.do("start", "dual-640")
    assert {one["state"] for one in agent.status["cameras"].values()} == {"running"}
    assert problems(agent.status) == {}
    agent.do("stop")


def test_a_process_in_place_of_the_recorder_is_left_alone(agent: RunningAgent) -> None:
    """A pid that was given to somebody else meanwhile gets no signal from the next agent."""
    agent.do("start", "cam0-640")
    pid = agent.recorders()["cam0"]
    agent.kill()
    (record,) = agent.found("spool/2*/run.json")
    stranger = os.getpid()
    record.write_text(record.read_text().replace(f'"pid": {pid}', f'"pid": {stranger}'))
    os.kill(pid, signal.SIGKILL)
    agent.start()
    agent.wait_for_state("recording")
    agent.do("stop")
    eventually(lambda: not agent.found("spool/2*"), "recovery")
    assert len(assert_gapless(agent, "cam0")) == 2
