"""A real agent in a process of its own, with its own directories, cameras and faults, driven over a real broker.

Everything is seen from outside: by MQTT, in its files, in its log, and in /proc. Waiting is for conditions; nothing is
asserted about how fast a busy machine comes to them.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.fakes.listener import Heard, Listener
from tests.fakes.mosquitto import Mosquitto

PATIENCE_S = 45.0
"""How long a busy machine may take for anything that a test waits for."""
DEVICE = "van7"
BASE = "blackbox"
_POLL_S = 0.02
_OF_A_BUSY_MACHINE = {"live_view_reduced", "disk_stalled", "disk_low"}
_PACE_S = 0.1
"""Between two commands: an agent takes ten in a second."""

Document = dict[str, Any]
T = TypeVar("T")
_numbers = count(1)


def eventually(look: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Look again and again until there is something true to return."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"in vain for {patience_s:g} s: {what}"
        time.sleep(_POLL_S)
    return found


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that was sent, and where its answers are to be found."""

    agent: RunningAgent
    id: str | None
    correlation: bytes
    mark: int

    def results(self) -> list[Document]:
        """The answers so far, oldest first."""
        topic = self.agent.topic("result")
        since = self.agent.listener.heard[self.mark :]
        return [heard.document for heard in since if heard.topic == topic and self._ours(heard)]

    def final(self, patience_s: float = PATIENCE_S) -> Document:
        """Wait for the final answer."""
        document: Document = self.agent.listener.wait(
            lambda _: next((one for one in self.results() if one["status"] != "accepted"), None), patience_s
        )
        return document

    def _ours(self, heard: Heard) -> bool:
        if "CorrelationData" in heard.properties:
            return bool(heard.properties["CorrelationData"] == self.correlation)
        return self.id is not None and heard.document["id"] == self.id


class RunningAgent:
    """One device under test. `start` it, talk to it, and leave the `with` block: nothing it ever started survives.

    `settings` are configuration keys such as `recording__segment_s`; `variables` are further environment variables.
    """

    def __init__(
        self,
        directory: Path,
        broker: Mosquitto,
        *,
        device: str = DEVICE,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.directory = directory
        self.device = device
        self.root = directory / "recordings"
        self.state_dir = directory / "state"
        self.control = directory / "faults.json"
        self.locks = directory / "locks"
        self.broker = broker
        self.listener = Listener(broker.port, f"{BASE}/{device}/#")
        self.through: tuple[str, ...] = ()
        """A command in front of the agent's own that becomes it, such as one that enters a namespace."""
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {"recording__segment_s": 2, "web__port": 0, "mqtt__host": broker.host} | settings
        self._variables = dict(variables or {})
        self._starts = 0
        self._mark = 0
        self._sent_mono_s = 0.0

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self, *, patience_s: float = PATIENCE_S) -> Self:
        """Start it and wait until it says `online`."""
        self.spawn()
        self.await_online(patience_s)
        return self

    def spawn(self) -> None:
        """Start it without waiting."""
        assert self.process is None or self.process.poll() is not None, "the agent runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._starts += 1
        self._mark = len(self.listener.heard)
        with self._log_path().open("wb") as log:
            self.process = subprocess.Popen(
                [*self.through, sys.executable, "-m", "edge_agent", "run"],
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_online(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the process that was started last (or has started itself anew) says `online`."""
        process = self.the_process()
        eventually(
            lambda: self._said_online() or process.poll() is not None, f"online; its log:\n{self.log}", patience_s
        )
        assert process.poll() is None, f"the agent ended with {process.returncode}:\n{self.log}"

    def stop(self, *, patience_s: float = PATIENCE_S) -> None:
        """End it as a service manager does, by SIGTERM, and see that it ends well."""
        process = self.the_process()
        process.send_signal(signal.SIGTERM)
        assert process.wait(patience_s) == 0, self.log

    def kill(self) -> None:
        """SIGKILL the agent alone."""
        process = self.the_process()
        process.kill()
        process.wait(PATIENCE_S)

    def kill_everything(self) -> None:
        """SIGKILL the agent and all that it has started, at once: as far as files go, the power switch."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.the_process().wait(PATIENCE_S)
        eventually(lambda: not self.processes(), "the end of all its processes")

    def mark(self) -> None:
        """Look at what comes from now on only, as after a restart that the agent makes by itself."""
        self._mark = len(self.listener.heard)

    def environment(self) -> dict[str, str]:
        """The whole environment of the process: nothing of the tests' own configuration leaks in."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT")}
        keys = {"device__id": self.device, "device__state_dir": self.state_dir, "recording__root": self.root}
        keys |= {"mqtt__port": self.broker.port} | self._settings
        configured = {f"EDGE_AGENT__{key.upper()}": str(value) for key, value in keys.items()}
        simulation = {"EDGE_AGENT_SIM_LOCK_DIR": str(self.locks), "EDGE_AGENT_SIM_CONTROL": str(self.control)}
        return inherited | configured | simulation | self._variables

    def set(self, **settings: object) -> None:
        """Configure the next start differently."""
        self._settings |= settings

    def let(self, variables: Mapping[str, str]) -> None:
        """Give the next start further environment variables."""
        self._variables |= variables

    @property
    def log(self) -> str:
        """What the process that was started last has written."""
        return self._log_path().read_text(errors="replace")

    def the_process(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the agent was never started"
        return self.process

    def __enter__(self) -> Self:
        self.listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.process is not None:
                self.process.send_signal(signal.SIGCONT)
                self.kill_everything()
        finally:
            self.listener.__exit__(None, None, None)

    # -- its cameras --------------------------------------------------------------------------------------------------

    def inject(self, faults: Mapping[str, object]) -> None:
        """Put these faults of the simulated cameras in force, whole at once; `{}` mends everything."""
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = self.control.with_suffix(".draft")
        draft.write_text(json.dumps(faults))
        draft.replace(self.control)

    def recorders(self) -> dict[str, int]:
        """The pids of the living recorders by camera, as the spool and /proc tell."""
        found = {}
        for record in self.found("spool/*/run.json"):
            with suppress(FileNotFoundError, ValueError):
                told = json.loads(record.read_text())
                if told["process"] and told["process"]["pid"] in self.processes():
                    found[told["run"]["camera"]] = told["process"]["pid"]
        return found

    def processes(self) -> list[int]:
        """All living processes of this device: they alone have its lock directory in their environment."""
        ours = f"EDGE_AGENT_SIM_LOCK_DIR={self.locks}".encode()
        return [pid for pid, environment in _environments() if ours in environment]

    # -- what it is told ----------------------------------------------------------------------------------------------

    def send(self, verb: str, payload: str | bytes | Document = "", *, topic: str | None = None) -> Sent:
        """Send a command as text, bytes or JSON; a JSON one gets an id if it has none."""
        number = next(_numbers)
        command_id = None
        if isinstance(payload, dict):
            payload = {"id": f"c{number}"} | payload
            command_id = payload["id"]
        content = json.dumps(payload) if isinstance(payload, dict) else payload
        eventually(lambda: time.monotonic() - self._sent_mono_s >= _PACE_S, "the pace of a well-behaved sender")
        self._sent_mono_s = time.monotonic()
        sent = Sent(self, command_id, b"%d" % number, len(self.listener.heard))
        self.listener.publish(topic or self.topic(f"cmd/{verb}"), content, CorrelationData=sent.correlation)
        return sent

    def command(self, verb: str, payload: str | bytes | Document = "") -> Document:
        """Send a command and wait for its final answer."""
        return self.send(verb, payload).final()

    def do(self, verb: str, payload: str | bytes | Document = "") -> Document:
        """Send a command that has to succeed."""
        result = self.command(verb, payload)
        assert result["status"] == "succeeded", result
        return result

    # -- what it says -------------------------------------------------------------------------------------------------

    def topic(self, rest: str) -> str:
        return f"{BASE}/{self.device}/{rest}"

    def heard(self, rest: str) -> list[Heard]:
        """What came on a topic since the last start."""
        topic = self.topic(rest)
        return [heard for heard in self.listener.heard[self._mark :] if heard.topic == topic]

    def statuses(self) -> list[Document]:
        """All status documents since the last start, oldest first."""
        return [heard.document for heard in self.heard("status")]

    @property
    def status(self) -> Document:
        """The newest status document since the last start."""
        return self.statuses()[-1]

    def wait_for(self, wanted: Callable[[Document], Any], what: str = "", patience_s: float = PATIENCE_S) -> Document:
        """Wait until the newest status is as wanted, and return it."""

        def look(_: list[Heard]) -> Document | None:
            statuses = self.heard("status")
            newest = statuses[-1].document if statuses else None
            return newest if newest is not None and wanted(newest) else None

        try:
            document: Document = self.listener.wait(look, patience_s)
        except AssertionError as error:
            raise AssertionError(f"{what or 'status'}: {error}\nits log:\n{self.log}") from None
        return document

    def wait_for_state(self, state: str) -> Document:
        return self.wait_for(lambda status: status["state"] == state, f"state {state}")

    def events(self, event_type: str | None = None) -> list[Document]:
        """What it told as events since the last start, oldest first."""
        told = [heard.document for heard in self.heard("event")]
        return [one for one in told if event_type in (None, one["event_type"])]

    def wait_for_event(self, event_type: str, wanted: Callable[[Document], Any] = bool, times: int = 1) -> Document:
        """Wait for the `times`th event of this type that is as wanted."""

        def look(_: list[Heard]) -> Document | None:
            found = [one for one in self.events(event_type) if wanted(one)]
            return found[times - 1] if len(found) >= times else None

        event: Document = self.listener.wait(look, PATIENCE_S)
        return event

    def wait_for_segments(self, camera: str, times: int) -> None:
        """Wait until it has told of so many stored segments of a camera."""
        self.wait_for_event("segment_stored", lambda event: event["camera"] == camera, times)

    def stored(self, camera: str) -> list[Path]:
        """The stored segments of a camera, oldest first."""
        return sorted(self.found(f"*x*/{camera}/*.mp4"), key=lambda path: path.name)

    def found(self, pattern: str) -> list[Path]:
        """What lies below its root now. `Path.glob` raises when a folder goes while it looks, as those of runs do."""
        return [self.root / name for name in glob.glob(pattern, root_dir=self.root)]  # noqa: PTH207 - see above

    def bytes_of(self, pattern: str) -> int:
        """How much these files hold now."""
        total = 0
        for path in self.found(pattern):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _said_online(self) -> bool:
        return any(heard.payload == b"online" for heard in self.heard("availability"))

    def _log_path(self) -> Path:
        return self.directory / f"agent.{self._starts}.log"


def problems(status: Document) -> dict[str, str]:
    """The messages of a status's problems by code, without those that come from the machine the tests run on."""
    told = {problem["code"]: problem["message"] for problem in status["problems"]}
    return {code: message for code, message in told.items() if code not in _OF_A_BUSY_MACHINE}


def instant(text: str) -> datetime:
    """An instant of the wire as a value."""
    return datetime.fromisoformat(text)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that gets no processor time meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                yield int(place.name), (place / "environ").read_bytes().split(b"\0")
