"""`edge-agent discovery show|remove`: what Home Assistant is told about this device."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace

from edge_agent.app.homeassistant import Announced, announced_before, device_of, remember
from edge_agent.app.line import connected
from edge_agent.cli.brokerless import say_no_broker
from edge_agent.cli.configuration import OK, configuration
from edge_agent.config import Config
from edge_agent.mqtt.discovery import SETTLE_S, Plan, announced, discovery_document, discovery_topic, paced, withdrawal
from edge_agent.mqtt.messages import Message
from edge_agent.mqtt.trouble import BrokerUnavailable


def main(options: Namespace) -> int:
    """Show or remove."""
    config = configuration(options)
    return _show(config) if options.command == "discovery show" else _remove(config)


def _show(config: Config) -> int:
    prefix, device = config.homeassistant.discovery_prefix, device_of(config, None)
    print(discovery_topic(prefix, device.id), file=sys.stderr)
    print(json.dumps(discovery_document(device), indent=2, ensure_ascii=False))
    return OK


def _remove(config: Config) -> int:
    prefix, device = config.homeassistant.discovery_prefix, device_of(config, None)
    # What an earlier version or configuration announced goes as well, as far as this machine remembers it.
    before = announced_before(config.device.state_dir)
    known = announced(discovery_document(device)) | (before.all if before else {})
    try:
        asyncio.run(_publish(config, withdrawal(prefix, device, known)))
    except BrokerUnavailable as error:
        return say_no_broker("discovery remove", config, error)
    try:
        if before:
            # An agent that is told to leave takes it back once more when Home Assistant comes up.
            remember(config.device.state_dir, Announced(gone=before.all))
    except OSError as error:
        print(f"the agent's note of what it announced stays: {error}", file=sys.stderr)
    print(f"{config.device.id} is removed from Home Assistant")
    if config.homeassistant.enabled:
        print("The agent announces it again at its next start, unless homeassistant.enabled = false.")
    return OK


async def _publish(config: Config, plan: Plan) -> None:
    """Publish a plan in its order, with a pause between two messages of one topic."""
    async with connected(config, lambda _: None) as line:
        for publication, settles in paced(plan):
            if settles:
                await asyncio.sleep(SETTLE_S)
            await line.publish(Message(publication.topic, publication.payload, retain=publication.retain))
