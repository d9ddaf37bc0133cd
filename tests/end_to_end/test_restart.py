"""What survives an orderly end, and a damaged memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.end_to_end.footage import assert_gapless, metadata, probe
from tests.fakes.agent import PATIENCE_S, Document, RunningAgent, eventually, problems

pytestmark = pytest.mark.slow

CAMERAS = ("cam0", "cam1")


def test_selected_mode_and_duration_survive(agent: RunningAgent) -> None:
    agent.do("mode", "cam1-720p")
    agent.do("duration", "1h30m")
    agent.stop()
    agent.start()
    assert (agent.status["selected_mode"], agent.status["duration_s"]) == ("cam1-720p", 5400)
    agent.do("start")
    assert agent.wait_for_state("recording")["mode"] == "cam1-720p"
    assert agent.status["ends_at"] is not None
    agent.kill()
    agent.start()
    assert agent.wait_for_state("recording")["selected_mode"] == "cam1-720p"


def test_a_terminated_agent_finishes_its_files_and_the_next_one_goes_on(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "dual-640", "duration": "1h", "label": "commute"})
    agent.wait_for_event("segment_stored")
    before = agent.status
    agent.stop()
    assert agent.heard("availability")[-1].payload == b"offline"
    assert agent.processes() == []
    assert agent.found("spool/2*") == []
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 1
        for path in agent.stored(camera):
            probe(path)
    agent.start()
    after = agent.wait_for_state("recording")
    kept = ("mode", "label", "started_at", "ends_at")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    agent.do("stop")
    for camera in CAMERAS:
        assert len(assert_gapless(agent, camera)) == 2
        assert {metadata(path).label for path in agent.stored(camera)} == {"commute"}


def test_an_agent_whose_terminal_is_closed_stops_its_recorders(agent: RunningAgent) -> None:
    agent.do("start", "cam0-640")
    process = agent.the_process()
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S) == 0, agent.log
    assert agent.processes() == []
    assert len(agent.stored("cam0")) == 1


def test_a_terminated_idle_agent_leaves_nothing_behind(agent: RunningAgent) -> None:
    agent.stop()
    assert agent.processes() == []
    assert agent.heard("availability")[-1].payload == b"offline"
    agent.start()
    assert agent.status["state"] == "idle"


def test_each_start_scans_the_archive_once(agent: RunningAgent) -> None:
    """The first one, too, which has to know what lies there before it records."""
    for _ in range(2):
        eventually(lambda: "archive scanned" in agent.log, "a scan")
        agent.stop()
        assert agent.log.count("archive scanned") == 1
        agent.start()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"v":1,"state":{}}', b"\xff" * 5000, b"[" * 100000])
def test_a_damaged_state_file_is_set_aside(agent: RunningAgent, damage: bytes) -> None:
    agent.do("mode", "cam0-640")
    agent.do("mode", "cam1-640")
    agent.stop()
    path = agent.state_dir / "state.json"
    path.write_bytes(damage)
    agent.start()
    assert agent.status["selected_mode"] == "cam0-640"  # the state before the last one is kept for this
    assert (agent.state_dir / "state.json.damaged-1").read_bytes() == damage
    assert agent.status["state"] == "idle"


def test_with_both_copies_damaged_the_defaults_apply_and_footage_is_kept(agent: RunningAgent) -> None:
    agent.do("mode", "cam0-640")
    agent.do("start")
    agent.do("stop")
    stored = agent.stored("cam0")
    sequence = metadata(stored[-1]).sequence
    agent.stop()
    for name in ("state.json", "state.json.previous"):
        (agent.state_dir / name).write_bytes(b"rubbish")
    agent.start()
    assert agent.status["selected_mode"] == "dual-640"
    agent.do("start", "cam0-640")
    agent.do("stop")
    assert stored[0] in agent.stored("cam0")
    assert {metadata(path).sequence for path in agent.stored("cam0")} > {sequence}
    assert max(metadata(path).sequence for path in agent.stored("cam0")) > sequence


def test_a_recorder_is_adopted_even_when_the_memory_is_lost(agent: RunningAgent) -> None:
    agent.do("start", {"mode": "cam0-640", "label": "still here", "duration": "1h"})
    before, pids = agent.status, agent.recorders()
    agent.kill()
    for path in agent.state_dir.iterdir():
        if path.is_file():
            path.unlink()
    agent.start()
    after = agent.wait_for_state("recording")
    kept = ("mode", "label", "started_at", "ends_at")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert agent.recorders() == pids
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1


def test_a_lost_run_record_costs_no_footage(agent: RunningAgent) -> None:
    agent.do("start", "cam0-640")
    agent.wait_for_event("segment_stored")
    agent.kill_everything()
    (record,) = agent.found("spool/2*/run.json")
    run_id = json.loads(record.read_text())["run"]["run_id"]
    record.write_bytes(b"")
    agent.start()
    eventually(lambda: not _segments_in(record.parent), "recovery")
    agent.do("stop")
    assert run_id in {metadata(path).run_id for path in agent.stored("cam0")}
    assert_gapless(agent, "cam0")


def _segments_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.mp4"))


def test_a_second_agent_in_the_same_place_says_so_and_ends(agent: RunningAgent) -> None:
    agent.do("start", "cam0-640")
    command = [sys.executable, "-m", "edge_agent", "run"]
    second = subprocess.run(
        command, cwd=agent.directory, env=agent.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert f"another edge-agent (pid {agent.the_process().pid}) uses {agent.state_dir}" in second.stderr
    agent.wait_for_segments("cam0", 1)
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1


def test_a_start_in_flight_at_the_end_is_answered_and_goes_on(agent: RunningAgent) -> None:
    agent.inject({"*": {"fault": "freeze"}})
    sent = agent.send("start", {"mode": "cam0-640"})
    eventually(agent.recorders, "a recorder")
    agent.stop()
    assert sent.final()["code"] == "interrupted"
    assert agent.recorders() == {}
    agent.inject({})
    agent.start()
    agent.wait_for_state("recording")
    agent.do("stop")
    assert [one["status"] for one in sent.results()] == ["accepted", "failed"]


def test_an_answer_that_no_broker_got_is_told_by_the_next_agent(agent: RunningAgent) -> None:
    page = agent.heard("info")[-1].document["http"]["url"]
    agent.broker.kill()
    request = urllib.request.Request(f"{page}api/blackbox/mode", data=b'{"id": "unheard", "mode": "cam1-640"}')  # noqa: S310 - our own address
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - our own address
    eventually(lambda: b'"final":"unheard"' in (agent.state_dir / "commands.jsonl").read_bytes(), "its note")
    agent.kill()
    agent.broker.start()
    agent.broker.publish(agent.topic("probe"), "here", retain=True)
    agent.listener.wait(lambda _: agent.heard("probe"))
    agent.start()
    answer = _answer(agent, "unheard")
    assert (answer["status"], answer["duplicate"]) == ("succeeded", True)
    eventually(lambda: b'"told":["unheard"]' in (agent.state_dir / "commands.jsonl").read_bytes(), "that it was told")
    agent.kill()
    agent.start()
    agent.do("ping", {"id": "after"})
    assert [heard for heard in agent.heard("result") if heard.document["id"] == "unheard"] == []


def _answer(agent: RunningAgent, command_id: str) -> Document:
    def look(_: object) -> Document | None:
        documents = [heard.document for heard in agent.heard("result")]
        return next((one for one in documents if one["id"] == command_id), None)

    document: Document = agent.listener.wait(look)
    return document


def test_a_hail_of_commands_is_answered_one_by_one_and_loses_no_frame(agent: RunningAgent) -> None:
    verbs = ["start", "mode", "stop", "start", "stop", "stop", "stream", "start", "mode", "duration", "stop", "start"]
    payloads = {"start": {"mode": "dual-640"}, "mode": {"mode": "cam0-640"}, "stream": {"state": "ON"}}
    sent = [agent.send(verb, payloads.get(verb, {"duration": 60} if verb == "duration" else {})) for verb in verbs]
    finals = [one.final() for one in sent]
    assert {one["code"] for one in finals} <= {"ok", "interrupted", "already_recording"}
    assert agent.status["state"] in {"recording", "starting"}
    agent.do("stop")
    assert problems(agent.wait_for_state("idle")) == {}
    assert [len(one.results()) for one in sent] == [len({doc["status"] for doc in one.results()}) for one in sent]
    for camera in CAMERAS:
        assert_gapless(agent, camera)
    assert agent.found("spool/2*") == []
