"""Announces the device to Home Assistant, and takes back what it announced when that changes or is switched off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent import __version__
from edge_agent.app.disk import Disk
from edge_agent.config import Config
from edge_agent.config.values import is_loopback
from edge_agent.durable import write_durably
from edge_agent.host.machine import machine_model, machine_serial
from edge_agent.mqtt.component import Device
from edge_agent.mqtt.discovery import (
    SETTLE_S,
    Plan,
    announced,
    announcement,
    discovery_document,
    discovery_topic,
    earlier_topics,
    migration,
    paced,
    withdrawal,
)
from edge_agent.mqtt.gateway import Gateway

ANNOUNCED_NAME = "homeassistant.json"
CONNECT_LOOK_S = 0.5

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
        model=machine_model() or "Blackbox",
        serial=machine_serial(),
        url=reachable,
        suggest_entity_ids=config.homeassistant.suggest_entity_ids,
        telemetry_interval_s=config.telemetry.interval_s,
        previews=config.homeassistant.preview_interval_s > 0,
    )


@dataclass(frozen=True, slots=True)
class Announced:
    """What the agent remembers of Home Assistant: the platforms of components by their keys.

    `components` stand there as far as we know. `gone` are those taken back while nobody could know whether Home
    Assistant was there to hear it: they are taken back once more when it comes up.
    """

    components: Mapping[str, str] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, str]:
        return {**self.gone, **self.components}


def announced_before(state_dir: Path) -> Announced | None:
    """What was announced up to now; None if this is the first time, or nothing is known any more. Blocking."""
    try:
        document = json.loads((state_dir / ANNOUNCED_NAME).read_text("utf-8"))
        parts = [
            {str(key): str(platform) for key, platform in document[part].items()} for part in ("components", "gone")
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return Announced(*parts)


def remember(state_dir: Path, known: Announced) -> None:
    """Keep what was announced and what was taken back. Blocking. Raises OSError."""
    content = {"v": 1, "components": dict(known.components), "gone": dict(known.gone)}
    write_durably(state_dir / ANNOUNCED_NAME, json.dumps(content, indent=1).encode())


def hears_births(config: Config) -> bool:
    """Whether it matters when Home Assistant comes up: also where it may still have what was switched off. Blocking."""
    if config.homeassistant.enabled:
        return True
    before = announced_before(config.device.state_dir)
    return before is not None and bool(before.all)


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
        """Announce, change or take back what stands in the configuration now. To be called before the first connection.

        What can wait for the first connection's greeting is handed to the gateway at once; what has to be sent step by
        step becomes a task.
        """
        prefix, device = self.config.homeassistant.discovery_prefix, device_of(self.config, self.url)
        before = await self.disk.run(announced_before, self.config.device.state_dir)
        if not self.config.homeassistant.enabled:
            if before is not None and before.components:
                self._change(withdrawal(prefix, device, before.components), Announced(gone=before.all), "leave")
        elif before is None:
            # Who remembers nothing may have been announced by an agent that had a topic for each entity.
            self.gateway.look_for(earlier_topics(prefix, device.id), self._arrive)
        else:
            now = announced(discovery_document(device))
            gone = {key: platform for key, platform in before.all.items() if now.get(key) != platform}
            plan = announcement(prefix, device, before.components)
            if len(plan) == 1:
                self.gateway.discovery(discovery_topic(prefix, device.id), discovery_document(device))
                await self._note(Announced(now, gone))
            else:
                self._change(plan, Announced(now, gone), "change the device in")

    def announced_again(self) -> None:
        """Home Assistant came up, or somebody asked: what it may have missed goes now."""
        self.tasks.create_task(self._take_back(), name="take back what is gone in Home Assistant")

    def _arrive(self, earlier: Sequence[str]) -> None:
        """Announce for the first time; `earlier` are topics of an earlier layout that the broker has kept."""
        prefix, device = self.config.homeassistant.discovery_prefix, device_of(self.config, self.url)
        now = Announced(announced(discovery_document(device)))
        plan = migration(prefix, device, earlier)
        if plan:
            log.info("moving from an earlier layout of Home Assistant's topics: topics=%d", len(earlier))
            self._change(plan, now, "move in")
        else:
            self.gateway.discovery(discovery_topic(prefix, device.id), discovery_document(device))
            self.tasks.create_task(self._note(now), name="note what Home Assistant knows")

    async def _take_back(self) -> None:
        await asyncio.sleep(SETTLE_S)  # it is reading what was just announced again
        before = await self.disk.run(announced_before, self.config.device.state_dir)
        if before is None or not before.gone:
            return
        prefix, device = self.config.homeassistant.discovery_prefix, device_of(self.config, self.url)
        if self.config.homeassistant.enabled:
            now = announced(discovery_document(device))
            await self._step_by_step(announcement(prefix, device, before.gone), Announced(now))
        else:
            await self._step_by_step(withdrawal(prefix, device, before.all), Announced())

    def _change(self, plan: Plan, after: Announced, what: str) -> None:
        self.tasks.create_task(self._step_by_step(plan, after), name=f"{what} Home Assistant")

    async def _note(self, known: Announced) -> None:
        try:
            await self.disk.run(remember, self.config.device.state_dir, known)
        except OSError as error:
            log.warning("what Home Assistant knows of us is not remembered: %s", error)

    async def _step_by_step(self, plan: Plan, after: Announced) -> None:
        """Publish a plan's messages in their order, none of which may be skipped."""
        async with self._one_at_a_time:
            while not self.gateway.connected:  # noqa: ASYNC110 - once after an upgrade, and nobody waits for it
                await asyncio.sleep(CONNECT_LOOK_S)
            for publication, settles in paced(plan):
                if settles:
                    await asyncio.sleep(SETTLE_S)
                document = json.loads(publication.payload) if publication.payload else None
                self.gateway.discovery(publication.topic, document, retain=publication.retain)
            await self._note(after)
        log.info("Home Assistant: messages=%d components=%d", len(plan), len(after.components))
