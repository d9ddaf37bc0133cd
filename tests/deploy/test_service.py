from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.config.sources import default_data_dir

UNIT = Path(__file__).parents[2] / "deploy" / "edge-agent.service"


def sections(text: str) -> dict[str, dict[str, str]]:
    """The unit's settings by section; no key stands twice in this one."""
    found: dict[str, dict[str, str]] = {}
    here: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("["):
            here = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            assert key not in here, key
            here[key] = value
    return found


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    unit = sections(UNIT.read_text())
    assert set(unit) == {"Unit", "Service", "Install"}
    assert unit["Install"] == {"WantedBy": "multi-user.target"}
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    return unit["Service"]


def test_a_crash_of_the_agent_leaves_the_recorders_and_a_stop_gives_them_time(service: dict[str, str]) -> None:
    assert service["KillMode"] == "process"
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > 20
    assert service["OOMPolicy"] == "continue"


def test_the_agent_tells_when_it_is_ready_and_alive_and_is_started_again_but_for_a_bad_configuration(
    service: dict[str, str],
) -> None:
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert int(service["WatchdogSec"]) == 30
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", "2")


def test_recordings_go_to_the_state_directory_unless_configured(service: dict[str, str]) -> None:
    folder = f"/var/lib/{service['StateDirectory']}"
    assert default_data_dir({"STATE_DIRECTORY": folder, "HOME": "/home/me"}) == Path(folder)
    assert service["WorkingDirectory"] == folder


def test_no_root_and_no_capability_is_left(service: dict[str, str]) -> None:
    assert service["User"] not in ("", "root")
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ""
    assert service["NoNewPrivileges"] == "yes"
    assert "video" in service["SupplementaryGroups"].split()


@pytest.mark.parametrize("key", ["ProtectClock", "PrivateDevices", "DevicePolicy", "DeviceAllow", "ProcSubset"])
def test_no_hardening_hides_the_cameras_the_clock_or_the_figures(key: str, service: dict[str, str]) -> None:
    assert key not in service
    assert "adjtimex" in service["SystemCallFilter"].split()


def test_systemd_knows_every_setting(tmp_path: Path) -> None:
    """Where systemd is installed it judges; elsewhere the file has been judged in parts by the tests above."""
    text = UNIT.read_text()
    assert "ExecStart=/opt/edge-agent/venv/bin/edge-agent run\n" in text
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    for extra, accepted in (("", True), ("KillMood=process\n", False)):
        unit = tmp_path / "edge-agent.service"
        unit.write_text(
            text.replace("/opt/edge-agent/venv/bin/edge-agent", "/bin/true").replace("Type=", f"{extra}Type=")
        )
        done = subprocess.run(
            [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
        complaints = [line for line in done.stderr.splitlines() if "edge-agent.service" in line]
        assert (complaints == []) is accepted, done.stderr
