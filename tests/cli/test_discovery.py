from __future__ import annotations

import json
from pathlib import Path

from edge_agent.app.homeassistant import Announced, announced_before, remember
from tests.cli.conftest import Command
from tests.fakes.listener import Listener
from tests.fakes.mosquitto import Mosquitto

TOPIC = "homeassistant/device/edge_agent_sim-0001/config"


def test_the_document_is_shown_with_its_topic(edge_agent: Command) -> None:
    said = edge_agent("discovery", "show")
    assert said.err == f"{TOPIC}\n"
    assert json.loads(said.out)["device"]["identifiers"] == ["edge_agent_sim-0001"]


def test_a_removal_leaves_nothing_at_the_broker(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.publish(TOPIC, "{}", retain=True)
    with Listener(mosquitto.port, "homeassistant/#") as listener:
        said = edge_agent("discovery", "remove", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
        heard = listener.wait(lambda heard: heard if heard and heard[-1].payload == b"" else None)
    assert said.code == 0
    assert "removed" in said.out
    assert {one.topic for one in heard} == {TOPIC}
    assert mosquitto.retained("homeassistant/#") == {}


def test_what_was_announced_earlier_goes_too_and_is_forgotten(
    edge_agent: Command, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    remember(tmp_path / "state", Announced({"old_thing": "sensor"}))
    with Listener(mosquitto.port, "homeassistant/#") as listener:
        edge_agent("discovery", "remove", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
        heard = listener.wait(lambda heard: heard if heard and heard[-1].payload == b"" else None)
    assert "old_thing" in heard[0].document["components"]
    known = announced_before(tmp_path / "state")
    assert known == Announced({}, {"old_thing": "sensor"})


def test_a_broker_that_is_not_there_is_exit_1(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    said = edge_agent("discovery", "remove", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert "broker_unreachable" in said.err
