"""What the world hears: results, events and the newest state, over every door at once. Implements `ports.Outlet`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edge_agent.app.answering import Answering
from edge_agent.app.stores import Stores
from edge_agent.core.commands import Command, Result, Verb
from edge_agent.core.model import EventType
from edge_agent.core.status import AgentStatus
from edge_agent.latest import Latest
from edge_agent.mqtt.gateway import Gateway
from edge_agent.ports import Clock, Post
from edge_agent.wire import event_document, result_document, status_document

VERIFIED_EVERY_S = 30.0
"""`verified_until` moves every second; on its own it is not worth a retained message more often than this."""
EARLY_EVENTS = 100
"""What happens before there is a gateway is told afterwards: the start itself, and what was recovered."""


@dataclass(frozen=True, slots=True)
class Feeds:
    """The newest document of each kind, for the page's WebSocket."""

    status: Latest[dict[str, Any]]
    info: Latest[dict[str, Any]]
    telemetry: Latest[dict[str, Any]]
    event: Latest[dict[str, Any]]
    result: Latest[dict[str, Any]]

    @classmethod
    def empty(cls) -> Feeds:
        return cls(Latest(), Latest(), Latest(), Latest(), Latest())


class Outlet:
    """Sends documents to the broker and to the page. `gateway` may be set later; until then only the page hears."""

    def __init__(
        self,
        device: str,
        boot_id: str,
        feeds: Feeds,
        stores: Stores,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        status: Latest[AgentStatus],
        post: Post,
    ) -> None:
        self.gateway: Gateway | None = None
        self._device = device
        self._boot_id = boot_id
        self._feeds = feeds
        self._clock = clock
        self._answering = Answering(stores.journal, stores.state, tasks, self._send_answer, post)
        self._status = status
        self._published: AgentStatus | None = None
        self._published_mono_s = float("-inf")
        self._early: deque[dict[str, Any]] = deque(maxlen=EARLY_EVENTS)
        self.announced: Callable[[], None] = lambda: None

    # -- ports.Outlet -------------------------------------------------------------------------------------------------

    def answer(self, command: Command, result: Result) -> Result:
        status = self._status.value
        if result.verb == Verb.PING and result.final and status is not None:
            told = status_document(self._device, self._boot_id, result.at, status)
            result = replace(result, data={"status": told})
        self._answering.answer(command, result)
        return result

    def report(self, event_type: EventType, at: datetime, fields: dict[str, Any]) -> None:
        document = event_document(self._device, event_type, at, fields)
        self._feeds.event.put(document)
        if self.gateway:
            self.gateway.event(document)
        else:
            self._early.append(document)

    def announce(self) -> None:
        if self.gateway:
            self.gateway.announce()
        self.announced()

    def connect(self, gateway: Gateway) -> None:
        """Use this gateway from now on; it gets the newest of everything."""
        self.gateway = gateway
        while self._early:
            gateway.event(self._early.popleft())
        self._published = None
        status = self._status.value
        if status is not None:
            self.status(status)

    def snapshot(self, camera: str, jpeg: bytes) -> None:
        """Publish a camera's last snapshot."""
        if self.gateway:
            self.gateway.snapshot(camera, jpeg)

    def preview(self, camera: str, jpeg: bytes) -> None:
        """Publish a small picture of a running camera."""
        if self.gateway:
            self.gateway.preview(camera, jpeg)

    # -- state --------------------------------------------------------------------------------------------------------

    def status(self, status: AgentStatus) -> None:
        """Publish the status if more than the verified instants changed, or those are old enough."""
        now = self._clock.now()
        document = status_document(self._device, self._boot_id, now.wall, status)
        self._feeds.status.put(document)
        same = self._published is not None and _without_verified(status) == _without_verified(self._published)
        if same and now.mono_s - self._published_mono_s < VERIFIED_EVERY_S:
            return
        before, self._published, self._published_mono_s = self._published, status, now.mono_s
        if self.gateway is None:
            return
        self.gateway.status(document)
        for camera, told in status.cameras.items():
            online = told.error is None
            if before is None or (before.cameras[camera].error is None) != online:
                self.gateway.camera_availability(camera, online)

    def telemetry(self, document: dict[str, Any]) -> None:
        self._feeds.telemetry.put(document)
        if self.gateway:
            self.gateway.telemetry(document)

    def info(self, document: dict[str, Any]) -> None:
        self._feeds.info.put(document)
        if self.gateway:
            self.gateway.info(document)

    # -- answers ------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until every answer so far is on its way."""
        await self._answering.settle()

    def _send_answer(self, command: Command, result: Result, taken: Callable[[], None] | None) -> None:
        document = result_document(self._device, result)
        self._feeds.result.put(document)
        if self.gateway:
            self.gateway.result(document, reply_to=command.reply_to, correlation=command.correlation, taken=taken)


def _without_verified(status: AgentStatus) -> AgentStatus:
    cameras = {camera: replace(one, verified_until=None) for camera, one in status.cameras.items()}
    return replace(status, cameras=cameras)
