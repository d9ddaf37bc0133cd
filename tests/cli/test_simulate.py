from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command
from tests.fakes.mosquitto import Mosquitto

ROOT = Path(__file__).parents[2]


def test_simulated_devices_come_and_leave_nothing_behind(mosquitto: Mosquitto, tmp_path: Path) -> None:
    variables = {
        "PYTHONPATH": str(ROOT),
        "EDGE_AGENT__MQTT__HOST": "127.0.0.1",
        "EDGE_AGENT__MQTT__PORT": str(mosquitto.port),
    }
    command = [sys.executable, "-m", "edge_agent", "simulate", "--devices", "3", "--prefix", "van", "--group", "north"]
    with subprocess.Popen(command, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as simulating:
        assert simulating.stdout is not None
        next(line for line in simulating.stdout if line == "3 of 3 devices connected\n")
        kept = mosquitto.retained("blackbox/+/availability")
        assert kept == {f"blackbox/van-000{number}/availability": "online" for number in (1, 2, 3)}
        simulating.send_signal(signal.SIGTERM)
        assert simulating.stdout.read().endswith("all devices have left, and the broker keeps nothing of them\n")
        assert simulating.wait(20) == 0
    assert mosquitto.retained("#") == {}


def test_they_may_leave_their_documents(edge_agent: Command, mosquitto: Mosquitto) -> None:
    said = edge_agent(
        "simulate",
        *("--devices", "1", "--seconds", "1", "--keep"),
        mqtt__host="127.0.0.1",
        mqtt__port=mosquitto.port,
    )
    assert (said.code, said.err) == (0, "")
    assert mosquitto.retained("blackbox/+/availability") == {"blackbox/sim-0001/availability": "offline"}


def test_a_broker_that_is_not_there_is_told_at_once(edge_agent: Command, mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    said = edge_agent("simulate", "--devices", "3", mqtt__host="127.0.0.1", mqtt__port=mosquitto.port)
    assert said.code == 1
    assert "broker_unreachable" in said.err
