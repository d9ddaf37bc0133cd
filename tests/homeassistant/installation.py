"""A real Home Assistant as a child process: headless, on loopback, set up through its own API, for tests.

It runs from a virtual environment of its own (`tests/run-homeassistant.sh` makes it); nothing of it is imported here.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.fakes.mosquitto import free_port

PROGRAM = "EDGE_AGENT_HOMEASSISTANT"
"""The environment variable that names the `hass` to run."""
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 30.0
_POLL_S = 0.1
_ONBOARDING = {"version": 4, "minor_version": 1, "key": "onboarding", "data": {"done": ["core_config"]}}
_MARKETPLACE = {
    "entry_id": "0123456789abcdef0123456789abcdef",
    "version": 1,
    "domain": "marketplace",
    "title": "Marketplace",
    "data": {},
    "options": {},
    "source": "system",
    "unique_id": None,
    "disabled_by": "user",
}
"""Newer versions have a shop that looks at its catalogue on the Internet. Here it is switched off."""
_ENTRIES = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [_MARKETPLACE]}}
_BAD_LINE = re.compile(r"^\S+ \S+ (?:WARNING|ERROR|CRITICAL) ")

CONFIGURATION = """\
homeassistant:
  name: Test home
  packages: !include_dir_named packages
  allowlist_external_dirs: []
http:
  server_host: 127.0.0.1
  server_port: {port}
frontend:
config:
history:
logbook:
recorder:
  commit_interval: 1
automation ui: !include automations.yaml
lovelace:
  dashboards:
    edge-agent:
      mode: yaml
      title: Blackbox
      icon: mdi:cctv
      filename: dashboards/edge-agent.yaml
logger:
  default: info
"""


@dataclass(frozen=True, slots=True)
class State:
    """One entity as Home Assistant shows it."""

    entity_id: str
    state: str
    attributes: dict[str, Any]


class Refused(Exception):
    """Home Assistant answered with an error."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        super().__init__(f"{method} {path}: {status} {text}")
        self.status = status


class HomeAssistant:
    """One installation in `directory`. `start`, `set_up` once, then any number of `stop` and `start`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "packages").mkdir(exist_ok=True)
        (directory / "dashboards").mkdir(exist_ok=True)
        (directory / "automations.yaml").write_text("[]\n")
        # Without this step Home Assistant would set up integrations that look for services on the Internet.
        (directory / ".storage").mkdir(exist_ok=True)
        (directory / ".storage/onboarding").write_text(json.dumps(_ONBOARDING))
        (directory / ".storage/core.config_entries").write_text(json.dumps(_ENTRIES))
        (directory / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        # Newer versions keep this part in a store of their own. Found in the configuration alone it would be on trial,
        # and after five minutes they would restart without it.
        listening = {"server_host": ["127.0.0.1"], "server_port": self.port}
        (directory / ".storage/http").write_text(json.dumps({"version": 1, "key": "http", "data": listening}))

    # -- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it says that it is running."""
        assert self._process is None, "Home Assistant runs already"
        program = os.environ[PROGRAM]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8"}
        with (self.directory / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [program, "--config", str(self.directory), "--skip-pip"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
            )
        self.wait_for(self._answers, "Home Assistant answers", START_TIMEOUT_S)
        if self._token:
            self.wait_for(lambda: self.get("/api/config")["state"] == "RUNNING", "it is running", START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop it as systemd would; does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        self.stop()
        self.start()

    def set_up(self) -> None:
        """Create the owner and finish onboarding, as the first visit of the page would."""
        person = {"name": "Owner", "username": "owner", "password": "not-a-secret", "language": "en"}
        client = {"client_id": f"{self.url}/"}
        code = self._request("POST", "/api/onboarding/users", client | person)["auth_code"]
        form = urllib.parse.urlencode(client | {"grant_type": "authorization_code", "code": code})
        answer = self._exchange("POST", "/auth/token", form.encode(), "application/x-www-form-urlencoded")
        self._token = json.loads(answer)["access_token"]
        self.post("/api/onboarding/analytics", {})
        redirect = {"redirect_uri": f"{self.url}/?auth_callback=1"}
        self.post("/api/onboarding/integration", client | redirect)
        long_lived = {"type": "auth/long_lived_access_token", "client_name": "tests", "lifespan": 30}
        self._token = self.ask(long_lived)
        self.wait_for(lambda: self.get("/api/config")["state"] == "RUNNING", "it is running", START_TIMEOUT_S)

    def add_mqtt(self, port: int) -> None:
        """Add the MQTT integration with a broker on loopback."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "mqtt"})
        form = _left_as_it_is(flow["data_schema"]) | {"broker": "127.0.0.1", "port": port}
        done = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}", form)
        assert done["type"] == "create_entry", done

    # -- its interfaces -----------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: object) -> Any:
        return self._request("POST", path, body)

    def call(self, service: str, entity_id: str, **data: Any) -> None:
        """Call a service, named `domain.service`, for one entity."""
        self.post(f"/api/services/{service.replace('.', '/')}", {"entity_id": entity_id} | data)

    def picture(self, path: str) -> bytes:
        """The bytes of what a proxy path shows."""
        return self._exchange("GET", path)

    def beginning(self, path: str, size: int) -> bytes:
        """The first bytes of a stream that has no end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            content = answer.read(size)
            answer.close()
        finally:
            connection.close()
        return content

    def page_session(self) -> str:
        """A script that makes a browser's page the owner's, as logging in would."""
        tokens = {"access_token": self._token, "token_type": "Bearer", "refresh_token": "", "expires_in": 10**9}
        place = {"hassUrl": self.url, "clientId": f"{self.url}/", "expires": (time.time() + 10**9) * 1000}
        return f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens | place))})"

    def states(self) -> dict[str, State]:
        return {
            one["entity_id"]: State(one["entity_id"], one["state"], one["attributes"])
            for one in self.get("/api/states")
        }

    def state(self, entity_id: str) -> str | None:
        """The state of an entity, None while there is no such entity."""
        found = self.states().get(entity_id)
        return None if found is None else found.state

    def ask(self, *messages: dict[str, Any]) -> Any:
        """Send commands over one WebSocket and return the result of the last one."""
        return asyncio.run(self._ask(messages))

    def complaints(self, words: Iterable[str] = ("",)) -> list[str]:
        """The warnings and errors of the log that hold one of `words`."""
        text = (self.directory / "home-assistant.log").read_text(errors="replace")
        return [line for line in text.splitlines() if _BAD_LINE.match(line) and any(word in line for word in words)]

    def wait_for(self, condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Wait until `condition` holds."""
        deadline, pause = time.monotonic() + timeout_s, threading.Event()
        while not condition():
            assert self._process is not None
            assert self._process.poll() is None, "Home Assistant ended:\n" + self._console()[-4000:]
            assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s: {what}\n{self._console()[-2000:]}"
            pause.wait(_POLL_S)

    def _console(self) -> str:
        return (self.directory / "console.log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self._exchange("GET", "/manifest.json")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _request(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._exchange(method, path, data) or b"null")

    def _exchange(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise Refused(method, path, answer.status, content.decode(errors="replace"))
        return content

    async def _ask(self, messages: Iterable[dict[str, Any]]) -> Any:
        socket = await websocket_connect(f"ws://127.0.0.1:{self.port}/api/websocket")
        try:
            await self._read(socket)
            await socket.write_message(json.dumps({"type": "auth", "access_token": self._token}))
            await self._read(socket)
            result: Any = None
            for number, message in enumerate(messages, 1):
                await socket.write_message(json.dumps({"id": number} | message))
                answer = await self._read(socket)
                while answer["type"] != "result" or answer["id"] != number:
                    answer = await self._read(socket)
                assert answer["success"], f"{message}: {answer['error']}"
                result = answer["result"]
            return result
        finally:
            socket.close()
            while await asyncio.wait_for(socket.read_message(), CALL_TIMEOUT_S) is not None:
                pass

    async def _read(self, socket: WebSocketClientConnection) -> dict[str, Any]:
        text = await asyncio.wait_for(socket.read_message(), CALL_TIMEOUT_S)
        assert text is not None, "Home Assistant closed the WebSocket"
        message: dict[str, Any] = json.loads(text)
        return message


def _left_as_it_is(fields: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What a form sends of its own where nobody fills anything in: versions differ in fields and sections."""
    form: dict[str, Any] = {}
    for field in fields:
        if "schema" in field:
            form[field["name"]] = _left_as_it_is(field["schema"])
        elif "default" in field:
            form[field["name"]] = field["default"]
        elif field.get("required"):
            form[field["name"]] = field["selector"].get("select", {}).get("options", [False])[0]
    return form
