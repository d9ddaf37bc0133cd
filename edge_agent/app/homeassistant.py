"""Announces the device to Home Assistant, and takes back what it announced when that changes or is switched off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from edge_agent import __version__
from edge_agent.app.disk import Disk
from edge_agent.config import Config
from edge_agent.config.values import is_loopback
from edge_agent.mqtt.component import Device
from edge_agent.mqtt.discovery import (
    SETTLE_S,
    Plan,
    announced,
    announcement,
    discovery_document,
    discovery_topic,
    withdrawal,
)
from edge_agent.mqtt.gateway import Gateway
from edge_agent.storage.durable import write_durably

ANNOUNCED_NAME = "homeassistant.json"
CONNECT_LOOK_S = 0.5
EMPTY: Mapping[str, str] = MappingProxyType({})

log = logging.getLogger(__name__)


def device_of(config: Config, url: str | None) -> Device:
    """The device as discovery describes it; an address that only this machine can reach is left out."""
    reachable = url if url and not is_loopback(config.web.host) else None
    return Device(
        id=config.device.id,
        name=config.device.title,
        version=__version__,
        cameras=config.camera_list(),
        modes=tuple(config.mode_table().values()),
        base_topic=config.mqtt.base_topic,
        url=reachable,
        suggest_entity_ids=config.homeassistant.suggest_entity_ids,
        telemetry_interval_s=config.telemetry.interval_s,
        previews=config.homeassistant.preview_interval_s > 0,
    )


def announced_before(state_dir: Path, part: str = "components") -> dict[str, str]:
    """The components that stand in Home Assistant as far as we know: their platforms by key. Blocking.

    With the part `gone`: those taken back while nobody could know whether Home Assistant was there to hear it.
    """
    try:
        document = json.loads((state_dir / ANNOUNCED_NAME).read_text("utf-8"))
        return {str(key): str(platform) for key, platform in document[part].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def remember(state_dir: Path, components: Mapping[str, str], gone: Mapping[str, str] = EMPTY) -> None:
    """Keep what was announced and what was taken back. Blocking. Raises OSError."""
    content = json.dumps({"v": 1, "components": dict(components), "gone": dict(gone)}, indent=1).encode()
    write_durably(state_dir / ANNOUNCED_NAME, content)


@dataclass(frozen=True, slots=True)
class Announcer:
    """Brings Home Assistant up to date. `url` is where this device's page is, None if nothing listens."""

    config: Config
    gateway: Gateway
    disk: Disk
    url: str | None
    tasks: asyncio.TaskGroup
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def announce(self) -> None:
        """Announce, change or take back what stands in the configuration now.

        What can wait for the first connection's greeting is handed to the gateway at once; what has to be sent step by
        step becomes a task.
        """
        prefix, state_dir = self.config.homeassistant.discovery_prefix, self.config.device.state_dir
        device = device_of(self.config, self.url)
        before = await self.disk.run(announced_before, state_dir)
        if not self.config.homeassistant.enabled:
            if before:
                taking_back = self._step_by_step(withdrawal(prefix, device, before), {}, {})
                self.tasks.create_task(taking_back, name="leave Home Assistant")
            return
        now = announced(discovery_document(device))
        gone = await self.disk.run(announced_before, state_dir, "gone") | before
        gone = {key: platform for key, platform in gone.items() if now.get(key) != platform}
        plan = announcement(prefix, device, before)
        if len(plan) == 1:
            self.gateway.discovery(discovery_topic(prefix, device.id), discovery_document(device))
            await self._note(now, gone)
        else:
            changing = self._step_by_step(plan, now, gone)
            self.tasks.create_task(changing, name="change the device in Home Assistant")

    def announced_again(self) -> None:
        """Home Assistant came up, or somebody asked: what it may have missed goes now."""
        if self.config.homeassistant.enabled:
            self.tasks.create_task(self._take_back(), name="take back what is gone in Home Assistant")

    async def _take_back(self) -> None:
        await asyncio.sleep(SETTLE_S)  # it is reading what was just announced again
        gone = await self.disk.run(announced_before, self.config.device.state_dir, "gone")
        if gone:
            device = device_of(self.config, self.url)
            plan = announcement(self.config.homeassistant.discovery_prefix, device, gone)
            await self._step_by_step(plan, announced(discovery_document(device)), {})

    async def _note(self, components: Mapping[str, str], gone: Mapping[str, str]) -> None:
        try:
            await self.disk.run(remember, self.config.device.state_dir, components, gone)
        except OSError as error:
            log.warning("what Home Assistant knows of us is not remembered: %s", error)

    async def _step_by_step(self, plan: Plan, components: Mapping[str, str], gone: Mapping[str, str]) -> None:
        """Publish a plan's messages in their order, none of which may be skipped."""
        async with self._one_at_a_time:
            while not self.gateway.connected:  # noqa: ASYNC110 - once after an upgrade, and nobody waits for it
                await asyncio.sleep(CONNECT_LOOK_S)
            seen: set[str] = set()
            for publication in plan:
                if publication.topic in seen:
                    await asyncio.sleep(SETTLE_S)
                seen.add(publication.topic)
                document = json.loads(publication.payload) if publication.payload else None
                self.gateway.discovery(publication.topic, document)
            await self._note(components, gone)
        log.info("Home Assistant: messages=%d components=%d", len(plan), len(components))
