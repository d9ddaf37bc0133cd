"""Announces the device to Home Assistant, and takes back what it announced when that changes or is switched off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

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


def announced_before(state_dir: Path) -> dict[str, str]:
    """The components that stand in Home Assistant as far as we know: their platforms by key. Blocking."""
    try:
        document = json.loads((state_dir / ANNOUNCED_NAME).read_text("utf-8"))
        return {str(key): str(platform) for key, platform in document["components"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def remember(state_dir: Path, components: Mapping[str, str]) -> None:
    """Keep what was announced. Blocking. Raises OSError."""
    content = json.dumps({"v": 1, "components": dict(components)}, indent=1).encode()
    write_durably(state_dir / ANNOUNCED_NAME, content)


async def announce(config: Config, gateway: Gateway, disk: Disk, url: str | None, tasks: asyncio.TaskGroup) -> None:
    """Bring Home Assistant up to date: announce, change or take back.

    What can wait for the first connection's greeting is handed to the gateway at once; what has to be sent step by step
    becomes a task.
    """
    prefix = config.homeassistant.discovery_prefix
    device = device_of(config, url)
    before = await disk.run(announced_before, config.device.state_dir)
    if not config.homeassistant.enabled:
        if before:
            taking_back = _step_by_step(withdrawal(prefix, device, before), {}, config, gateway, disk)
            tasks.create_task(taking_back, name="leave Home Assistant")
        return
    document = discovery_document(device)
    plan = announcement(prefix, device, before)
    if len(plan) == 1:
        gateway.discovery(discovery_topic(prefix, device.id), document)
        await _note(announced(document), config, disk)
    else:
        changing = _step_by_step(plan, announced(document), config, gateway, disk)
        tasks.create_task(changing, name="change the device in Home Assistant")


async def _note(components: Mapping[str, str], config: Config, disk: Disk) -> None:
    try:
        await disk.run(remember, config.device.state_dir, components)
    except OSError as error:
        log.warning("what Home Assistant knows of us is not remembered: %s", error)


async def _step_by_step(
    plan: Plan, components: Mapping[str, str], config: Config, gateway: Gateway, disk: Disk
) -> None:
    await _publish(plan, gateway)
    await _note(components, config, disk)
    log.info("Home Assistant: messages=%d components=%d", len(plan), len(components))


async def _publish(plan: Plan, gateway: Gateway) -> None:
    """Publish a plan's messages in their order, none of which may be skipped."""
    while not gateway.connected:  # noqa: ASYNC110 - once after an upgrade, and nobody waits for it
        await asyncio.sleep(CONNECT_LOOK_S)
    seen: set[str] = set()
    for publication in plan:
        if publication.topic in seen:
            await asyncio.sleep(SETTLE_S)
        seen.add(publication.topic)
        gateway.discovery(publication.topic, json.loads(publication.payload) if publication.payload else None)
