"""Every command gets its answer by name, and no command disturbs a recording but those that are meant to."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent, agents
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import BASE, Document, RunningAgent, eventually, frozen, instant, problems

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that records on both cameras all the time; in the end its footage is whole."""
    with agents(tmp_path_factory.mktemp("recording")) as make:
        agent = make().start()
        agent.do("start", {"mode": "dual-640", "label": "undisturbed"})
        before, pids = agent.wait_for_state("recording"), agent.recorders()
        yield agent
        after = agent.status
        kept = ("state", "mode", "label", "started_at", "ends_at", "selected_mode")
        assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
        assert agent.recorders() == pids
        agent.do("stop")
        for camera in ("cam0", "cam1"):
            assert len(assert_gapless(agent, camera)) == 1


@pytest.mark.parametrize(
    ("verb", "payload", "code"),
    [
        ("frobnicate", "", "unknown_verb"),
        ("frobnicate", {"mode": "dual-640"}, "unknown_verb"),
        ("START", "", "unknown_verb"),
        ("mode", "dual-4k", "unknown_mode"),
        ("mode", "", "malformed"),
        ("mode", {"mode": 5}, "malformed"),
        ("start", "", "already_recording"),
        ("start", "cam0-640", "already_recording"),
        ("record", "ON", "already_recording"),
        ("record", "MAYBE", "malformed"),
        ("stream", "ON", "already_recording"),
        ("stream", "OFF", "already_recording"),
        ("start", b'{"mode": "dual-640"', "malformed"),
        ("start", b"[1, 2]", "malformed"),
        ("start", b"\xff\xfe\x00", "malformed"),
        ("start", b"[" * 8000, "malformed"),
        ("start", b'{"duration": NaN}', "malformed"),
        ("start", {"label": "x" * 65}, "malformed"),
        ("start", {"label": "../../etc"}, "malformed"),
        ("start", {"mode": "cam0-640", "cameras": ["cam0"]}, "malformed"),
        ("stop", b"x" * 17_000, "too_large"),
        ("stop", b'{"by": "' + b"x" * 16_400 + b'"}', "too_large"),
        ("stop", "now", "malformed"),
        ("duration", "8d", "out_of_range"),
        ("duration", {"duration": 604801}, "out_of_range"),
        ("duration", "-5", "out_of_range"),
        ("duration", "soon", "malformed"),
        ("snapshot", "cam9", "unknown_camera"),
        ("snapshot", {"camera": "%n%s"}, "unknown_camera"),
        ("clip", "", "malformed"),
        ("clip", {"camera": "cam0", "from": "yesterday", "to": "today"}, "malformed"),
        ("unlock", {"label": "never used"}, "ok"),
        ("stop", {"ttl": 1, "ts": "2026-01-01T00:00:00Z"}, "expired"),
        ("stop", {"at": "2020-01-01T00:00:00Z"}, "out_of_range"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_cannot_be_done_is_answered_by_name(
    recording: RunningAgent, verb: str, payload: str | bytes | Document, code: str
) -> None:
    result = recording.command(verb, payload)
    assert (result["code"], result["verb"]) == (code, verb)
    assert result["status"] == ("succeeded" if code == "ok" else "rejected")
    assert result["message"]
    assert result["device"] == "van7"


def test_unknown_keys_are_named_and_the_rest_is_obeyed(recording: RunningAgent) -> None:
    result = recording.do("ping", {"volume": 11, "by": "test"})
    assert "volume" in result["warnings"][0]


def test_the_first_greeting_has_everything_too(recording: RunningAgent) -> None:
    topics = [heard.topic for heard in recording.listener.heard]
    order = [topics.index(recording.topic(kind)) for kind in ("info", "status", "telemetry", "availability")]
    assert order == sorted(order)


def test_ping_answers_with_the_status(recording: RunningAgent) -> None:
    told = recording.do("ping")["data"]["status"]
    assert (told["state"], told["label"]) == ("recording", "undisturbed")


def test_announce_publishes_everything_again(recording: RunningAgent) -> None:
    kinds = ("info", "status", "telemetry", "availability", "cam0/availability")
    before = {kind: len(recording.heard(kind)) for kind in kinds}
    recording.do("announce")
    eventually(lambda: all(len(recording.heard(kind)) > before[kind] for kind in kinds), "everything once more")


def test_a_refusal_is_an_event_too(recording: RunningAgent) -> None:
    sent = recording.send("mode", {"mode": "nonsense"})
    sent.final()
    event = recording.wait_for_event("command_refused", lambda event: event["id"] == sent.id)
    assert (event["verb"], event["code"]) == ("mode", "unknown_mode")


def test_a_flood_is_refused_and_passes(recording: RunningAgent) -> None:
    for number in range(60):
        recording.listener.publish(recording.topic("cmd/stop"), json.dumps({"id": f"flood{number}", "at": "soon"}))
    recording.listener.wait(lambda _: _with_code(recording, "rate_limited"))
    eventually(lambda: recording.command("ping")["code"] == "ok", "commands are taken again")


def test_http_and_mqtt_are_one_door(recording: RunningAgent) -> None:
    page = recording.heard("info")[-1].document["http"]["url"]
    request = urllib.request.Request(f"{page}api/blackbox/start", data=b'{"id": "by-http"}', method="POST")  # noqa: S310 - our own address
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)  # noqa: S310 - our own address
    with refused.value as answer:
        assert answer.code == 409
        assert json.load(answer)["code"] == "already_recording"
    recording.listener.wait(lambda _: _answers(recording, "by-http"))
    again = recording.command("start", {"id": "by-http"})
    assert (again["code"], again["duplicate"]) == ("already_recording", True)


def test_a_retained_command_is_refused_once_and_named_until_it_is_cleared(recording: RunningAgent) -> None:
    topic = recording.topic("cmd/stop")
    recording.listener.publish(topic, json.dumps({"id": "kept"}), retain=True)
    recording.wait_for(lambda status: "retained_command" in problems(status))
    recording.listener.publish(topic, b"", retain=True)
    recording.wait_for(lambda status: not problems(status))
    results = [heard.document for heard in recording.heard("result") if heard.document["id"] == "kept"]
    assert [(one["status"], one["code"]) for one in results] == [("rejected", "retained")]


def _with_code(agent: RunningAgent, code: str) -> list[Document]:
    return [heard.document for heard in agent.heard("result") if heard.document["code"] == code]


# -- selecting, switching and moving the deadline ---------------------------------------------------------------------


def test_text_json_and_dashboard_payloads_mean_the_same(idle: RunningAgent) -> None:
    for payload in ("", "cam0-640", "PRESS", "1h30m", {"mode": "cam0-640", "duration": "90s"}):
        result = idle.do("start", payload)
        assert result["verb"] == "start"
        assert idle.status["state"] == "recording"
        idle.do("record", "OFF")
        assert idle.status["state"] == "idle"
    assert idle.do("stop")["code"] == "ok"


def test_the_deadline_counts_from_the_start_and_can_be_moved(idle: RunningAgent) -> None:
    idle.do("start", {"mode": "cam0-640", "duration": "1h"})
    status = idle.status
    assert instant(status["ends_at"]) - instant(status["started_at"]) == timedelta(hours=1)
    idle.do("duration", "10m")
    status = idle.wait_for(lambda status: status["duration_s"] == 600)
    assert instant(status["ends_at"]) - instant(status["started_at"]) == timedelta(minutes=10)
    idle.do("duration", "1")
    idle.wait_for_state("idle")
    idle.wait_for_event("recording_stopped", lambda event: event["reason"] == "duration")


def test_a_mode_switch_keeps_label_start_and_deadline(idle: RunningAgent) -> None:
    idle.do("start", {"mode": "cam0-640", "duration": "1h", "label": "kept"})
    before = idle.status
    idle.do("mode", "dual-640")
    after = idle.wait_for_state("recording")
    kept = ("label", "started_at", "ends_at", "duration_s")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert (after["mode"], after["selected_mode"]) == ("dual-640", "dual-640")
    idle.do("stop")
    for camera in ("cam0", "cam1"):
        assert_gapless(idle, camera)


def test_start_while_streaming_turns_to_recording(idle: RunningAgent) -> None:
    idle.do("stream", "ON")
    assert idle.status["state"] == "streaming"
    idle.do("start", "dual-640")
    assert idle.status["state"] == "recording"
    idle.do("stop")


def test_a_common_instant_is_waited_for(idle: RunningAgent) -> None:
    at = datetime.now(UTC) + timedelta(seconds=2)
    sent = idle.send("start", {"mode": "cam0-640", "at": at.isoformat()})
    assert sent.final()["status"] == "succeeded"
    assert instant(idle.status["started_at"]) >= at.replace(microsecond=0)
    assert [one["status"] for one in sent.results()] == ["accepted", "succeeded"]


def test_one_id_is_carried_out_once_also_across_a_restart(make_agent: MakeAgent) -> None:
    agent = make_agent().start()
    first, second = (agent.send("start", {"id": "once", "mode": "cam0-640"}) for _ in range(2))
    finals = [first.final(), second.final()]
    assert [one["status"] for one in finals] == ["succeeded", "succeeded"]
    assert sorted(one["duplicate"] for one in finals) == [False, True]
    agent.do("stop")
    assert agent.command("start", {"id": "once"})["duplicate"]
    agent.stop()
    agent.start()
    again = agent.command("start", {"id": "once", "mode": "cam0-640"})
    assert (again["status"], again["duplicate"]) == ("succeeded", True)
    assert agent.status["state"] == "idle"
    assert len(agent.stored("cam0")) in (1, 2)


# -- retained, groups, and the older protocol -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_was_retained_before_the_start_is_never_carried_out(make_agent: MakeAgent, protocol: str) -> None:
    agent = make_agent(mqtt__protocol=protocol)
    agent.broker.publish(agent.topic("cmd/start"), '{"id": "old", "mode": "cam0-640"}', retain=True)
    agent.broker.publish(f"{BASE}/@all/cmd/start", "cam0-640", retain=True)
    agent.start()
    agent.wait_for(lambda status: "retained_command" in problems(status))
    agent.listener.wait(lambda _: len(_with_code(agent, "retained")) == 2)
    agent.do("ping", {})
    assert agent.status["state"] == "idle"
    assert agent.recorders() == {}


def test_a_group_obeys_together_and_nobody_else_does(make_agent: MakeAgent) -> None:
    trucks = [make_agent(f"truck{number}", device__groups='["trucks"]').start() for number in (1, 2)]
    car = make_agent("car1").start()
    sender = car.listener
    sender.publish(f"{BASE}/@trucks/cmd/start", json.dumps({"id": "go", "mode": "cam0-640", "label": "convoy"}))
    for truck in trucks:
        assert truck.wait_for_state("recording")["label"] == "convoy"
        truck.listener.wait(lambda _, agent=truck: _answers(agent, "go") == ["accepted", "succeeded"])  # type: ignore[misc]
    sender.publish(f"{BASE}/@all/cmd/stop", json.dumps({"id": "halt"}))
    for agent in (*trucks, car):
        agent.listener.wait(lambda _, agent=agent: "succeeded" in _answers(agent, "halt"))  # type: ignore[misc]
        assert agent.wait_for_state("idle")
    assert _answers(car, "go") == []
    assert car.stored("cam0") == []


def _answers(agent: RunningAgent, command_id: str) -> list[str]:
    documents = [heard.document for heard in agent.heard("result")]
    return [one["status"] for one in documents if one["id"] == command_id]


def test_everything_works_over_mqtt_3_1_1(make_agent: MakeAgent) -> None:
    agent = make_agent(mqtt__protocol="3.1.1").start()
    agent.do("start", {"mode": "cam0-640"})
    assert agent.wait_for_state("recording")["mode"] == "cam0-640"
    agent.do("stop", {})
    assert agent.wait_for_state("idle")
    assert len(assert_gapless(agent, "cam0")) == 1
    agent.kill()
    agent.listener.wait(lambda _: agent.heard("availability")[-1].payload == b"offline")


def test_recording_goes_on_without_the_broker_and_everything_is_told_later(make_agent: MakeAgent) -> None:
    agent = make_agent().start()
    agent.do("start", {"mode": "cam0-640"})
    agent.wait_for_segments("cam0", 1)
    stored = len(agent.stored("cam0"))
    agent.broker.kill()
    eventually(lambda: len(agent.stored("cam0")) >= stored + 2, "segments without a broker")
    gone_until = time.time()
    with frozen(agent.the_process().pid):  # so that the listener is there first
        agent.broker.start()
        agent.broker.publish(agent.topic("probe"), "here", retain=True)
        agent.listener.wait(lambda _: agent.heard("probe"))
    agent.wait_for_segments("cam0", stored + 3)
    late = [event for event in agent.events("segment_stored") if instant(event["at"]).timestamp() < gone_until]
    assert len(late) >= 2, "they have the instant at which it happened"
    assert agent.broker.retained(agent.topic("availability")) == {agent.topic("availability"): "online"}
    (status,) = agent.broker.retained(agent.topic("status")).values()
    assert json.loads(status)["state"] == "recording"
    agent.do("stop")
    assert len(assert_gapless(agent, "cam0")) == 1


def test_with_nothing_configured_the_agent_brings_its_own_broker(make_agent: MakeAgent, tmp_path: Path) -> None:
    agent = make_agent()
    agent.set(mqtt__host="")  # an empty variable is one that is not set
    agent.spawn()
    eventually(lambda: "broker connected" in agent.log, "its own broker")
    assert "SIMULATED CAMERAS" in agent.log
    assert "mosquitto_pub -h 127.0.0.1" in agent.log
    agent.stop()
    assert agent.processes() == []
