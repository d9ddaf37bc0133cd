"""The tools beside a real agent that records: they see what it does, and it does not notice them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mosquitto import Mosquitto

pytestmark = pytest.mark.slow


@pytest.fixture
def agent(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[RunningAgent]:
    with RunningAgent(tmp_path / "van7", mosquitto, rpicam__command="simulated") as agent:
        yield agent.start()


def edge_agent(agent: RunningAgent, *arguments: str, code: int = 0) -> str:
    """Run a command with the agent's own environment; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *arguments],
        cwd=agent.directory,
        env={**agent.environment(), "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_recording_with_a_killed_camera_and_a_pause_is_explained(agent: RunningAgent) -> None:
    edge_agent(agent, "send", "start", "cam0-640")
    agent.wait_for_segments("cam0", 1)
    pid = eventually(lambda: agent.recorders().get("cam0", 0), "a recorder")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: agent.recorders().get("cam0", pid) != pid, "another recorder")
    agent.wait_for_segments("cam0", 3)
    checked = json.loads(edge_agent(agent, "check", "--json"))
    assert [item for item in checked if item["level"] == "fail"] == []
    assert "recording" in edge_agent(agent, "fleet", "status")
    edge_agent(agent, "send", "stop")
    edge_agent(agent, "send", "start", "cam0-640")
    edge_agent(agent, "send", "stop")
    found = json.loads(edge_agent(agent, "recordings", "verify", "--json", "--every-byte"))
    assert found["damaged"] == []
    assert found["segments"] == len(agent.stored("cam0"))
    reasons = [gap["reason"] for gap in found["gaps"]]
    assert reasons[-1] == "stopped"
    # The first recorder's last footage and the next one's first may lie closer together than a gap has to be.
    assert set(reasons[:-1]) <= {"camera_fault"}
    assert agent.events("camera_fault")[0]["code"] == "killed"


def test_a_clip_can_be_cut_while_the_agent_records(agent: RunningAgent) -> None:
    edge_agent(agent, "send", "start", "cam1-640")
    agent.wait_for_segments("cam1", 2)
    window = ("--from", "0", "--to", "2199-01-01T00:00:00Z")
    edge_agent(agent, "recordings", "clip", "cam1", *window, "--output", "all.mp4")
    entries = ["-show_entries", "format=duration", "-of", "csv=p=0", str(agent.directory / "all.mp4")]
    probe = ["ffprobe", "-v", "error", *entries]
    done = subprocess.run(probe, check=True, capture_output=True, text=True, timeout=60)
    assert float(done.stdout) >= 2.0  # segments end at full seconds of the clock, so the first is shorter
    assert agent.status["state"] == "recording"
    assert agent.status["cameras"]["cam1"]["restarts"] == 0
