from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command
from tests.fakes.fleet import fleet
from tests.fakes.mosquitto import Mosquitto


def test_every_device_of_the_broker_is_a_row(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.publish("blackbox/van9/availability", "offline", retain=True)
    problem = {"code": "disk_full", "message": "m", "since": "2026-11-23T09:15:00Z"}
    status = {"v": 1, "state": "fault", "mode": None, "selected_mode": "demo", "problems": [problem]}
    mosquitto.publish("blackbox/van9/status", json.dumps(status), retain=True)
    with fleet(mosquitto.port, 2, "north", "south"):
        edge_agent("send", "start", "cam0-640", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
        said = edge_agent("fleet", "status")
        members = edge_agent("fleet", "status", "--group", "south", "--json")
    assert (said.code, said.err) == (0, "")
    header, *rows, empty, total = said.out.splitlines()
    assert header.split() == ["DEVICE", "BROKER", "STATE", "MODE", "FREE", "USED", "HOURS", "TEMP", "SEEN", "PROBLEMS"]
    assert [row.split()[0] for row in rows] == ["sim-0001", "sim-0002", "van9"]
    assert "online   recording  cam0-640" in rows[0]
    assert "online   idle       dual-640" in rows[1]
    assert rows[2].split()[1:] == ["OFFLINE", "fault", "demo", "disk_full"]
    assert (empty, total) == ("", "3 devices, 2 online, 1 recording, 1 with problems")
    (member,) = json.loads(members.out)
    assert (member["device"], member["groups"], member["simulated"]) == ("sim-0002", ["south"], True)
    assert member["disk_free_bytes"] > 0
    assert member["seen_at"].endswith("Z")


def test_a_broker_without_devices_is_told(edge_agent: Command, mosquitto: Mosquitto) -> None:
    said = edge_agent("fleet", "status", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert (said.code, said.out) == (0, "no device is known to the broker\n")


def test_a_broker_that_is_not_there_is_exit_1(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    said = edge_agent("fleet", "status", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert "broker_unreachable" in said.err


def watch(mosquitto: Mosquitto, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge_agent", *arguments]
    variables = {"EDGE_AGENT__MQTT__HOST": "127.0.0.1", "EDGE_AGENT__MQTT__PORT": str(mosquitto.port)}
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, env={"PYTHONPATH": str(root), **variables}, cwd=folder, stdout=subprocess.PIPE, text=True
    )


def test_a_watched_table_follows_what_devices_do_until_ctrl_c(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with watch(mosquitto, tmp_path, "fleet", "status", "--watch", "--interval", "0.5", "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline()) == []
        mosquitto.publish("blackbox/van9/availability", "online", retain=True)
        online = next(rows for line in watching.stdout if (rows := json.loads(line)))
        assert [(row["device"], row["online"]) for row in online] == [("van9", True)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0


def test_a_watch_ends_when_the_broker_does(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with watch(mosquitto, tmp_path, "fleet", "status", "--watch", "--interval", "0.5") as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "no device is known to the broker\n"
        mosquitto.stop()
        assert watching.wait(20) == 1
