"""A gateway with a small house behind it: what the tests of this room start and look at."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from edge_agent.core.model import Now
from edge_agent.mqtt.endpoint import Endpoint, ProtocolVersion
from edge_agent.mqtt.gateway import Callbacks, Gateway, GatewaySettings
from edge_agent.mqtt.intake import RawCommand
from tests.fakes.listener import TIMEOUT_S

BOTH_VERSIONS = [ProtocolVersion.V5, ProtocolVersion.V311]


def read_clock() -> Now:
    return Now(time.monotonic(), datetime.now(UTC))


def endpoint(port: int, **changes: Any) -> Endpoint:
    """A broker on loopback; keywords are `Endpoint`'s."""
    return replace(Endpoint(host="127.0.0.1", port=port, client_id="edge-agent-van7", keepalive_s=20), **changes)


@dataclass
class House:
    """Answers every command at once, as the agent does, and notes what it was told."""

    commands: list[RawCommand] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    births: int = 0
    answering: bool = True
    _gateway: Gateway | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None
        return self._gateway

    def submit(self, raw: RawCommand) -> str | None:
        self.commands.append(raw)
        self._changed.set()
        try:
            command_id = json.loads(raw.payload)["id"]
        except (ValueError, KeyError, TypeError):
            command_id = f"own-{len(self.commands)}"
        if self.answering:
            status = "rejected" if raw.retained or raw.refusal else "succeeded"
            document = {"v": 1, "id": command_id, "verb": raw.verb, "status": status}
            if raw.refusal is not None:
                document |= {"code": raw.refusal.code.value, "message": raw.refusal.message}
            self.gateway.result(document, reply_to=raw.reply_to, correlation=raw.correlation)
        return str(command_id)

    def tell(self, code: str, message: str | None) -> None:
        if message is None:
            self.problems.pop(code, None)
        else:
            self.problems[code] = message
        self._changed.set()

    def birth(self) -> None:
        self.births += 1
        self._changed.set()

    async def until(self, wanted: Callable[[House], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """Wait until `wanted` finds something true in what this house was told."""
        async with asyncio.timeout(timeout_s):
            while not (found := wanted(self)):
                self._changed.clear()
                await self._changed.wait()
            return found

    async def problem(self, code: str) -> str:
        """Wait until this problem is told."""
        text: str = await self.until(lambda house: house.problems.get(code))
        return text


def make_house(port: int, *, device: str = "van7", boot_id: str = "boot-one", **options: Any) -> House:
    """A house with the documents of a first greeting; keywords are `Endpoint`'s or `GatewaySettings`'."""
    names = {"groups", "birth_topic", "telemetry_interval_s"}
    settings = GatewaySettings(
        endpoint=endpoint(port, **{name: value for name, value in options.items() if name not in names}),
        base_topic="blackbox",
        device=device,
        boot_id=boot_id,
        **{name: value for name, value in options.items() if name in names},
    )
    house = House()
    callbacks = Callbacks(submit=house.submit, tell=house.tell, on_birth=house.birth, now=read_clock)
    gateway = house._gateway = Gateway(settings, callbacks)
    gateway.info({"v": 1, "device": device, "boot_id": boot_id})
    gateway.status({"v": 1, "device": device, "state": "idle"})
    gateway.telemetry({"v": 1, "cpu_percent": 1.5})
    return house


@asynccontextmanager
async def running(house: House) -> AsyncIterator[House]:
    """Run the gateway in a task; stops it politely at the end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.gateway.run(), name="gateway")
        try:
            yield house
        finally:
            await house.gateway.stop()
            task.cancel()
