"""A whole home on loopback: a broker, an agent with simulated cameras, and a Home Assistant that knows both."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.mosquitto import Mosquitto, free_port
from tests.homeassistant.installation import HomeAssistant, Refused, State

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "homeassistant"
DEVICE = "van7"
VIEWER_TOKEN = "only-to-look-at-pictures"
BACK_WITHIN_S = 10.0
"""After a restart of anything nothing is unavailable for longer."""
RECONNECTS_AFTER_S = 10.0
"""Home Assistant tries a broker again that it lost (RECONNECT_INTERVAL_SECONDS of its mqtt integration)."""
_STOP_TIMEOUT_S = 40.0
_KNOWN_TO_COMPLAIN = (
    "Skipping pip installation",
    "aiohttp_fast_zlib",
    "libturbojpeg",
    "assist_pipeline",
    "No module named 'turbojpeg'",
    "Error talking to MQTT: The client is not currently connected",
    "No device components to cleanup",
)
"""What this kind of installation says of itself at its start, when its MQTT integration is reloaded or stopped, and
when it removes a device with disabled entities: for each it clears the device's topic again, and wonders."""
_OF_A_LOST_BROKER = (
    "The connection was lost",
    "No ACK from MQTT server",
    "failed to receive on socket",
    "Task exception was never retrieved",
)
"""What Home Assistant says when its broker goes."""

_CONFIGURATION = """\
[device]
id = "{device}"
name = "Van 7"
groups = ["vans"]
state_dir = "{directory}/state"
[mqtt]
host = "127.0.0.1"
port = {broker}
[homeassistant]
enabled = {enabled}
preview_interval_s = 1
[recording]
root = "{directory}/recordings"
segment_s = 5
min_free_bytes = 0
min_free_percent = 0
[web]
port = {web}
tokens_file = "{directory}/tokens"
[telemetry]
interval_s = 2
[rpicam]
command = "simulated"
"""


class AgentProcess:
    """The agent as a service would run it."""

    def __init__(self, directory: Path, broker_port: int) -> None:
        self.directory = directory
        self.web_port = free_port()
        self.started_at = ""
        self._broker_port = broker_port
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "tokens").write_text(f"viewer homeassistant {VIEWER_TOKEN}\n")
        (directory / "tokens").chmod(0o600)
        self.configure()

    @property
    def log(self) -> str:
        return (self.directory / "agent.log").read_text(errors="replace")

    def configure(self, more: str = "", *, enabled: bool = True) -> None:
        """Write the configuration, with `more` at its end; counts from the next start."""
        text = _CONFIGURATION.format(
            device=DEVICE,
            directory=self.directory,
            broker=self._broker_port,
            web=self.web_port,
            enabled=str(enabled).lower(),
        )
        (self.directory / "edge-agent.toml").write_text(text + more)

    def command(self, *arguments: str) -> list[str]:
        """The command line of any command for this agent."""
        return [sys.executable, "-m", "edge_agent", "--config", str(self.directory / "edge-agent.toml"), *arguments]

    def start(self) -> None:
        self.started_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        with (self.directory / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command("run"),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Cameras of its own: by default all agents of a machine share the simulated ones.
                env=os.environ | {"EDGE_AGENT_SIM_LOCK_DIR": str(self.directory)},
            )

    def stop(self) -> None:
        """Stop it as systemd would; does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Let it die without a word; a recording goes on."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal_number)
            process.wait(_STOP_TIMEOUT_S)


class Home:
    """All three, started by `move_in`. `assistant` has the shipped dashboard, package and blueprints."""

    def __init__(self, directory: Path) -> None:
        self._accepted: tuple[str, ...] = _KNOWN_TO_COMPLAIN
        self.broker = Mosquitto(directory / "broker", persistence=True)
        self.agent = AgentProcess(directory / "agent", self.broker.port)
        self.assistant = HomeAssistant(directory / "homeassistant")
        shutil.copytree(SHIPPED, self.assistant.directory, dirs_exist_ok=True)

    def move_in(self) -> None:
        self.broker.start()
        self.agent.start()
        self.assistant.start()
        self.assistant.set_up()
        self.assistant.add_mqtt(self.broker.port)
        self.wait(lambda: not self.unwell(), lambda: f"unavailable: {self.unwell()}", 60)

    def move_out(self) -> None:
        for end in (self.assistant.stop, self.agent.stop, self.broker.stop):
            with suppress(subprocess.TimeoutExpired):
                end()

    def states(self) -> dict[str, State]:
        """What Home Assistant shows of the device."""
        return {name: one for name, one in self.assistant.states().items() if name.split(".")[1].startswith(DEVICE)}

    def unwell(self) -> list[str]:
        """The device's entities that are unavailable, or why there is nothing to look at yet."""
        states = self.states()
        started = states.get(f"sensor.{DEVICE}_agent_started")
        if started is None:
            return ["everything"]
        if started.state < self.agent.started_at:
            return ["the agent that runs now"]
        return [name for name, one in states.items() if one.state == "unavailable"]

    def wait_until_shown(self, entity_id: str, *states: str, timeout_s: float = 30.0) -> str:
        """Wait until an entity has one of `states`, and return which."""
        found: list[str | None] = [None]

        def shown() -> bool:
            found[0] = self.assistant.state(entity_id)
            return found[0] in states

        self.wait(shown, lambda: f"{entity_id} is {found[0]}, not {' or '.join(states)}", timeout_s)
        return str(found[0])

    def wait(self, condition: Callable[[], object], what: Callable[[], str], timeout_s: float = 30.0) -> None:
        """Wait until `condition` holds; `what` says at the end what was so instead."""
        try:
            self.assistant.wait_for(condition, "", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{what()}\n{error}\nagent:\n{self.agent.log[-3000:]}") from error

    def complaints(self) -> list[str]:
        """What Home Assistant's log holds against anything but this kind of installation and a broker that was away."""
        return [line for line in self.assistant.complaints() if not any(known in line for known in self._accepted)]

    def restart_broker(self, *, forgetting: bool = False) -> None:
        """Restart the broker; `forgetting` loses all that it had retained."""
        self._accepted = _KNOWN_TO_COMPLAIN + _OF_A_LOST_BROKER
        self.broker.kill() if forgetting else self.broker.stop()
        if forgetting:
            (self.broker.directory / "mosquitto.db").unlink(missing_ok=True)
        self.broker.start()

    def send(self, verb: str, payload: str = "") -> None:
        """Give the agent a command past Home Assistant."""
        self.broker.publish(f"blackbox/{DEVICE}/cmd/{verb}", payload)

    def preview(self, camera: str) -> bytes:
        """The picture that a camera's preview shows; empty while it has none."""
        try:
            return self.assistant.picture(f"/api/camera_proxy/camera.{DEVICE}_{camera}_preview")
        except Refused:
            return b""

    def automate(self, name: str, blueprint: str, **inputs: Any) -> str:
        """Make an automation of a shipped blueprint, as its page would, and return its entity id."""
        use = {"path": f"edge_agent/{blueprint}.yaml", "input": inputs}
        self.assistant.post(f"/api/config/automation/config/{name}", {"alias": name, "use_blueprint": use})
        entity_id = f"automation.{name}"
        self.wait_until_shown(entity_id, "on")
        return entity_id

    def device_id(self) -> str:
        """Home Assistant's id of the device."""
        devices = self.assistant.ask({"type": "config/device_registry/list"})
        (found,) = [one["id"] for one in devices if ["mqtt", f"edge_agent_{DEVICE}"] in one["identifiers"]]
        return str(found)
