"""A recording does not need the agent: it goes on when the agent is killed, and the next agent takes it over."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.end_to_end.footage import assert_gapless, metadata, probe
from tests.fakes.agent import RunningAgent, eventually, instant

pytestmark = pytest.mark.slow

CAMERAS = ("cam0", "cam1")
TOLD_OF_THE_RECORDING = ("state", "mode", "started_at", "ends_at", "label", "duration_s")


def _spooled(agent: RunningAgent, camera: str) -> int:
    """How many segment files a living recorder has in the spool."""
    return len(agent.found(f"spool/*-{camera}/*.mp4"))


def test_the_next_agent_adopts_what_a_killed_one_left(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "duration": "10m", "label": "night drive"})
    agent.wait_for_event("segment_stored")
    before, pids = agent.status, agent.recorders()
    assert pids.keys() == set(CAMERAS)
    agent.kill()
    left = {camera: _spooled(agent, camera) for camera in CAMERAS}
    eventually(lambda: all(_spooled(agent, camera) > left[camera] for camera in CAMERAS), "rotation without an agent")
    assert agent.recorders() == pids

    agent.start()
    assert agent.wait_for_event("agent_started")["adopted"] == 2
    after = agent.wait_for_state("recording")
    assert {key: after[key] for key in TOLD_OF_THE_RECORDING} == {key: before[key] for key in TOLD_OF_THE_RECORDING}
    assert agent.recorders() == pids
    for camera in CAMERAS:
        agent.wait_for_segments(camera, 3)
    assert agent.recorders() == pids
    assert {told["restarts"] for told in agent.status["cameras"].values()} == {0}
    agent.do("stop")
    for camera in CAMERAS:
        (frames,) = assert_gapless(agent, camera)
        assert sum(probe(path).frames for path in agent.stored(camera)) == frames
        assert {metadata(path).label for path in agent.stored(camera)} == {"night drive"}
    assert agent.recorders() == {}
    assert agent.found("spool/2*") == []


def test_a_command_in_flight_at_the_kill_is_answered_by_the_next_agent(agent: RunningAgent) -> None:
    agent.inject({"*": {"fault": "freeze"}})
    sent = agent.send("start", {"mode": "cam0-640"})
    eventually(sent.results, "accepted")
    eventually(agent.recorders, "a recorder")
    agent.kill()
    agent.inject({})
    agent.start()
    final = sent.final()
    assert (final["status"], final["code"], final["id"], final["verb"]) == ("failed", "interrupted", sent.id, "start")
    again = agent.command("start", {"id": sent.id, "mode": "cam0-640"})
    assert (again["code"], again["duplicate"]) == ("interrupted", True)
    agent.do("stop")


def test_a_deadline_that_passed_meanwhile_is_enforced_at_once(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "duration": 4})
    ends_at = instant(agent.status["ends_at"])
    agent.kill()
    eventually(lambda: time.time() > ends_at.timestamp(), "the deadline")
    assert agent.recorders().keys() == set(CAMERAS)
    agent.start()
    stopped = agent.wait_for_event("recording_stopped")
    assert stopped["reason"] == "duration"
    started = agent.wait_for_event("agent_started")
    assert instant(stopped["at"]) - instant(started["at"]) < timedelta(seconds=1), "not counted from the new start"
    agent.wait_for_state("idle")
    assert agent.recorders() == {}
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 1


def test_after_the_death_of_everything_all_but_the_last_two_seconds_is_stored(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "label": "crash"})
    started_at = agent.status["started_at"]
    for camera in CAMERAS:
        agent.wait_for_segments(camera, 2)
    agent.kill_everything()
    killed_at = time.time()
    agent.inject({"*": {"fault": "busy"}})  # the next recorders shall not add to what is looked at
    agent.start()
    eventually(lambda: not agent.found("spool/2*/*.mp4"), "recovery")
    agent.inject({})
    status = agent.wait_for_state("recording")
    assert (status["label"], status["started_at"]) == ("crash", started_at)
    agent.do("stop")
    for camera in CAMERAS:
        first, *_ = assert_gapless(agent, camera)
        stored = agent.stored(camera)
        for path in stored:
            probe(path)
        first_run = metadata(stored[0]).run_id
        of_first = [path for path in stored if metadata(path).run_id == first_run]
        end = metadata(of_first[-1]).started_at + timedelta(seconds=metadata(of_first[-1]).duration_s)
        assert first > 0
        assert killed_at - end.timestamp() < 2.5


def test_restart_keeps_the_recorders(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "duration": "1h", "label": "on the way"})
    agent.wait_for_event("segment_stored")
    before, pids = agent.status, agent.recorders()
    sent = agent.send("restart")
    assert sent.final()["status"] == "succeeded"
    after = agent.wait_for(lambda status: status["boot_id"] != before["boot_id"], "the next agent")
    assert {key: after[key] for key in TOLD_OF_THE_RECORDING} == {key: before[key] for key in TOLD_OF_THE_RECORDING}
    assert agent.the_process().poll() is None, "whoever supervises it would have seen it end"
    assert agent.recorders() == pids
    agent.wait_for_event("segment_stored", times=4)
    agent.do("stop")
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 1


def test_a_stop_is_remembered_although_the_recorder_outlived_it(agent: RunningAgent) -> None:
    agent.inject({"*": {"fault": "deaf"}})
    agent.do("start", {"mode": "dual-640"})
    sent = agent.send("stop", {})
    eventually(sent.results, "accepted")
    agent.wait_for_state("stopping")
    eventually(lambda: '"session":null' in (agent.state_dir / "state.json").read_text(), "the stop is on disk")
    agent.kill()
    assert agent.recorders().keys() == set(CAMERAS)
    agent.inject({})
    agent.start()
    agent.wait_for_state("idle")
    assert sent.final()["code"] == "interrupted"
    assert agent.recorders() == {}
    assert agent.events("recording_started") == []
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 1


def test_a_kill_at_any_stage_of_the_start_loses_nothing(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "label": "again and again"})
    agent.wait_for_event("segment_stored")
    pids = agent.recorders()
    agent.kill()
    for stage in ("configuration=", "camera program=", "adopted", "archive scanned", "connected", "segment stored"):
        agent.spawn()
        eventually(lambda stage=stage: stage in agent.log, stage)  # type: ignore[misc]
        agent.kill()
        assert agent.recorders() == pids
    agent.start()
    assert agent.wait_for_state("recording")["label"] == "again and again"
    agent.do("stop")
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 1
    assert agent.found("spool/2*") == []
