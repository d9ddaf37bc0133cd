from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.conftest import Command
from tests.fakes.fleet import fleet
from tests.fakes.mosquitto import Mosquitto


def test_one_device_answers_with_a_line_for_each_answer(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 2):
        said = edge_agent("send", "start", "dual-640", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert (said.code, said.err) == (0, "")
    accepted, succeeded = said.out.splitlines()
    assert accepted.startswith("sim-0001         accepted  ok: starting dual-640")
    assert succeeded.startswith("sim-0001         succeeded ok: recording dual-640 on cam0, cam1")


def test_a_refusal_is_exit_1(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 1):
        said = edge_agent("send", "start", "night", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert "rejected  unknown_mode:" in said.out


def test_all_members_of_a_group_are_waited_for(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 7, "north", "south"):
        said = edge_agent(
            "send", "ping", "--group", "north", "--json", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port
        )
    documents = [json.loads(line) for line in said.out.splitlines()]
    assert sorted(one["device"] for one in documents) == ["sim-0001", "sim-0003", "sim-0005", "sim-0007"]
    assert {one["status"] for one in documents} == {"succeeded"}
    assert documents[0]["data"]["status"]["state"] == "idle"
    assert (said.code, said.err) == (0, "4 succeeded, 0 did not, 0 did not answer, 0 offline\n")


def test_devices_with_an_old_protocol_are_heard_too(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 2, protocol="3.1.1"):
        new = edge_agent("send", "ping", "--all", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
        old = edge_agent("send", "ping", "--all", mqtt__protocol="3.1.1")
        one = edge_agent("send", "ping")
    assert [said.code for said in (new, old, one)] == [0, 0, 0]
    assert len(old.out.splitlines()) == len(new.out.splitlines()) == 2


def test_who_does_not_answer_and_who_is_offline_is_named(edge_agent: Command, mosquitto: Mosquitto) -> None:
    with fleet(mosquitto.port, 1):
        for device, availability in (("van8", "online"), ("van9", "offline")):
            mosquitto.publish(f"blackbox/{device}/availability", availability, retain=True)
        said = edge_agent(
            "send", "ping", "--all", "--timeout", "1.5", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port
        )
    assert said.code == 1
    assert said.out.startswith("sim-0001         succeeded")
    assert said.err.splitlines() == [
        "van9             offline: the broker says that it is not there, it got nothing",
        "van8             did not answer within 1.5 s",
        "1 succeeded, 0 did not, 1 did not answer, 1 offline",
    ]


def test_a_device_that_is_offline_gets_no_command_that_it_would_obey_later(
    edge_agent: Command, mosquitto: Mosquitto
) -> None:
    mosquitto.publish("blackbox/van9/availability", "offline", retain=True)
    said = edge_agent("send", "start", "--device", "van9", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert said.err.startswith("van9             offline:")
    assert "'blackbox/van9/cmd/start'" not in mosquitto.log


def test_a_group_without_members_is_told(edge_agent: Command, mosquitto: Mosquitto) -> None:
    said = edge_agent(
        "send", "ping", "--group", "east", "--timeout", "0.2", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port
    )
    assert said.code == 1
    assert said.err == "no member of east is known to the broker, and nobody answered within 0.2 s\n"


def test_what_no_device_would_obey_is_not_sent(edge_agent: Command) -> None:
    for arguments, named in (
        (("duration", "soon"), "duration: 'soon' is not a duration"),
        (("start", '{"mode": 5}'), "mode"),
        (("clip", "now"), "clip does not take the text"),
        (("stop", "{"), "JSON"),
    ):
        said = edge_agent("send", *arguments, mqtt__host="127.0.0.1", mqtt__port=9)
        assert said.code == 2
        assert named in said.err


def test_trouble_with_the_broker_is_named(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    said = edge_agent("send", "ping", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert said.err.startswith("edge-agent send: broker_unreachable: 127.0.0.1:")
    assert "mqtt.host" not in said.err


def test_the_agents_own_broker_is_found_where_its_port_was_taken(
    edge_agent: Command, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    (tmp_path / "state" / "broker").mkdir(parents=True)
    own = tmp_path / "state" / "broker" / "mosquitto.conf"
    own.write_text(f"listener {mosquitto.port} 127.0.0.1\nallow_anonymous true\n")
    with fleet(mosquitto.port, 1):
        said = edge_agent("send", "ping", mqtt__port=9)
    assert said.code == 0


def test_a_common_start_instant_is_waited_for_beyond_the_patience(edge_agent: Command, mosquitto: Mosquitto) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    with fleet(mosquitto.port, 2):
        said = edge_agent(
            *("send", "mode", json.dumps({"mode": "demo", "at": at}), "--all", "--timeout", "2"),
            mqtt__host="127.0.0.1",
            mqtt__port=mosquitto.port,
        )
    assert said.code == 0
    assert [line.split()[1] for line in said.out.splitlines()] == ["accepted"] * 2 + ["succeeded"] * 2
