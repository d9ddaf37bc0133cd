from __future__ import annotations

import json

from tests.cli.conftest import Command
from tests.fakes.mosquitto import Mosquitto, free_port


def test_every_item_is_a_line_with_its_level(edge_agent: Command, mosquitto: Mosquitto) -> None:
    said = edge_agent(
        "check",
        rpicam__command="simulated",
        web__port=free_port(),
        mqtt__host="127.0.0.1",
        mqtt__port=mosquitto.port,
        recording__min_free_percent=0,
    )
    *lines, empty, total = said.out.splitlines()
    assert (said.code, said.err, empty) == (0, "", "")
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    names = [line[6:21].strip() for line in lines]
    assert names == [
        *("configuration", "camera program", "cam0", "cam1", "media", "disk", "state", "broker", "clock"),
        *("page access", "page"),
    ]
    assert total.startswith("The agent can run.")


def test_what_has_to_be_mended_is_exit_1_and_summed_up(edge_agent: Command) -> None:
    said = edge_agent("check", rpicam__command="rpicam-nothing", web__port=free_port(), recording__root="/proc/x")
    assert said.code == 1
    assert said.out.endswith("To be mended before the agent works: camera program, disk.\n")


def test_the_items_can_be_had_as_json(edge_agent: Command) -> None:
    said = edge_agent("check", "--json", rpicam__command="rpicam-nothing", web__port=free_port())
    items = {item["name"]: item for item in json.loads(said.out)}
    assert said.code == 1
    assert items["camera program"]["level"] == "fail"
    assert items["configuration"]["level"] == "ok"
