"""Looking at every device that the broker knows, once or for as long as somebody watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from edge_agent.app.line import Line, connected
from edge_agent.config import Config
from edge_agent.fleet.roster import Roster
from edge_agent.mqtt.messages import Incoming
from edge_agent.mqtt.topics import DeviceKind, DeviceTopic
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble

KINDS = (DeviceKind.AVAILABILITY, DeviceKind.STATUS, DeviceKind.TELEMETRY, DeviceKind.INFO)
"""In the order of their worth, should a broker not send all that it keeps."""


async def watch(config: Config, interval_s: float | None) -> AsyncGenerator[Roster, None]:
    """What is known of every device: once when all that the broker keeps has come, then every `interval_s`.

    None ends after the first. The roster is the same object each time and goes on being filled. Raises
    `BrokerUnavailable`, also when the connection is lost.
    """
    roster = Roster()
    watcher = _Watcher(roster)
    async with connected(config, watcher.take) as line:
        watcher.line = line
        for kind in KINDS:  # one after another, so that no more than one document of each device waits at the broker
            refused = await line.sweep([line.tree.every_device(kind)])
            if refused:
                told = ", ".join(f"{topic} ({reason})" for topic, reason in refused.items())
                raise BrokerUnavailable(
                    Trouble.ACL_SUBSCRIBE, f"the broker does not let us read {told}; check its access rules"
                )
        yield roster
        while interval_s is not None:
            ends: list[asyncio.Future[Any]] = [line.ended]
            await asyncio.wait(ends, timeout=interval_s)
            if line.ended.done():
                raise line.ended.result()
            yield roster


class _Watcher:
    def __init__(self, roster: Roster) -> None:
        self.line: Line | None = None
        self._roster = roster

    def take(self, message: Incoming) -> None:
        topic = self.line.tree.parse(message.topic) if self.line is not None else None
        if isinstance(topic, DeviceTopic):
            self._roster.take(topic.device, topic.kind, message.payload)
