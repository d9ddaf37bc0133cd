"""Simulated devices held against the contract as real ones are: they shall not teach rules what no device does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge_agent.wire.schema import schemas
from tests.fakes.fleet import fleet
from tests.fakes.listener import Heard, Listener
from tests.fakes.mosquitto import Mosquitto

_numbers = count(1)
COMMANDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("mode", {"mode": "cam0-640"}, "succeeded", "ok"),
    ("duration", {"duration": "10m"}, "succeeded", "ok"),
    ("start", {"label": "tour 7"}, "succeeded", "ok"),
    ("start", {}, "rejected", "already_recording"),
    ("stream", {"state": "ON"}, "rejected", "already_recording"),
    ("mode", {"mode": "dual-640"}, "succeeded", "ok"),
    ("snapshot", {}, "succeeded", "ok"),
    ("snapshot", {"camera": "cam7"}, "rejected", "unknown_camera"),
    ("stop", {}, "succeeded", "ok"),
    ("stop", {}, "succeeded", "ok"),
    ("lock", {"before": "1h", "label": "tour"}, "succeeded", "ok"),
    ("clip", {"camera": "cam0", "from": 0, "to": "2199-01-01T00:00:00Z"}, "succeeded", "ok"),
    ("clip", {"camera": "cam0", "from": 0, "to": 5}, "failed", "not_found"),
    ("unlock", {"label": "tour"}, "succeeded", "ok"),
    ("record", {"state": "ON"}, "succeeded", "ok"),
    ("record", {"state": "OFF"}, "succeeded", "ok"),
    ("stream", {"state": "ON"}, "succeeded", "ok"),
    ("stream", {"state": "OFF"}, "succeeded", "ok"),
    ("announce", {}, "succeeded", "ok"),
    ("ping", {}, "succeeded", "ok"),
    ("dance", {}, "rejected", "unknown_verb"),
]


class Talk:
    """One simulated device that is talked to, with everything it said."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def send(self, verb: str, command_id: str | None = None, **keys: Any) -> dict[str, Any]:
        """Send a command and wait for its final answer."""
        command_id = command_id or f"c{next(_numbers)}"
        mark = len(self.listener.heard)
        self.listener.publish(f"blackbox/sim-0001/cmd/{verb}", json.dumps({"id": command_id, **keys}))

        def answered(heard: list[Heard]) -> dict[str, Any] | None:
            results = (one.document for one in heard[mark:] if one.topic == "blackbox/sim-0001/result")
            return next((one for one in results if one["id"] == command_id and one["status"] != "accepted"), None)

        document: dict[str, Any] = self.listener.wait(answered)
        return document


@pytest.fixture
def talk(mosquitto: Mosquitto) -> Iterator[Talk]:
    with Listener(mosquitto.port, "blackbox/sim-0001/#") as listener, fleet(mosquitto.port, 1):
        yield Talk(listener)


def test_every_verb_answers_as_a_device_does_and_every_document_keeps_the_contract(talk: Talk) -> None:
    for verb, keys, status, code in COMMANDS:
        result = talk.send(verb, **keys)
        assert (result["status"], result["code"]) == (status, code), (verb, keys, result["message"])
    known = schemas()
    kinds = set()
    for heard in list(talk.listener.heard):
        kind = heard.topic.rsplit("/", maxsplit=1)[-1]
        kinds.add(kind)
        if kind in known and "/cmd/" not in heard.topic:
            Draft202012Validator(known[kind]).validate(heard.document)
    assert {"info", "status", "telemetry", "event", "result", "availability", "snapshot"} <= kinds
    happened = {heard.document["event_type"] for heard in talk.listener.of("blackbox/sim-0001/event")}
    assert {"recording_started", "recording_stopped", "segment_stored", "segment_locked"} <= happened
    assert {"agent_started", "snapshot_taken", "clip_ready", "command_refused"} <= happened
    assert talk.listener.of("blackbox/sim-0001/info")[-1].document["simulated"] is True


def test_a_restart_lets_the_recording_go_on_and_remembers_ids(talk: Talk) -> None:
    talk.send("start", "first", mode="dual-640")
    started_at = talk.send("ping")["data"]["status"]["started_at"]
    boot_id = talk.listener.of("blackbox/sim-0001/info")[-1].document["boot_id"]
    talk.send("restart")

    def born_again(heard: list[Heard]) -> bool:
        return any(one.topic.endswith("/info") and one.document["boot_id"] != boot_id for one in heard)

    talk.listener.wait(born_again)
    status = talk.send("ping")["data"]["status"]
    assert (status["state"], status["started_at"]) == ("recording", started_at)
    again = talk.send("start", "first", mode="dual-640")
    assert (again["status"], again["duplicate"]) == ("succeeded", True)


def test_recording_stores_segments_as_time_goes_by(talk: Talk) -> None:
    talk.send("start", mode="cam0-640")

    def two_stored(heard: list[Heard]) -> bool:
        return sum(one.topic.endswith("/event") and b"segment_stored" in one.payload for one in heard) >= 2

    assert talk.listener.wait(two_stored)


def test_locks_of_several_labels_are_counted_as_a_device_counts_them(talk: Talk) -> None:
    talk.send("start", mode="cam0-640")
    talk.send("stop")
    locked = talk.send("lock", before="1h", label="tour")["data"]
    assert (locked["count"], locked["already"], len(locked["locked"])) == (1, 0, 1)
    again = talk.send("lock", before="1h", label="crash")
    assert (again["data"]["count"], again["data"]["already"]) == (0, 1)
    held = talk.send("unlock", label="tour")["data"]
    assert held == {"count": 0, "unlocked": [], "held": 1}
    released = talk.send("unlock", label="crash")
    assert released["message"] == "unlocked 1 segment (simulated)"
    assert released["data"] == {"count": 1, "unlocked": locked["locked"], "held": 0}
