"""`edge-agent check`: a line for everything the agent needs, in plain words."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from argparse import Namespace
from dataclasses import asdict

from edge_agent.app.check import Item, Level, examine
from edge_agent.cli.configuration import FAULT, OK, configuration
from edge_agent.config import Config


def main(options: Namespace) -> int:
    """Look at everything; fails when something has to be mended."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    config = configuration(options)
    items = asyncio.run(_look(config, show=not options.json))
    if options.json:
        print(json.dumps([asdict(item) for item in items], indent=2, ensure_ascii=False))
    else:
        print(_summary(items))
    return FAULT if any(item.level is Level.FAIL for item in items) else OK


async def _look(config: Config, *, show: bool) -> list[Item]:
    items = []
    async for item in examine(config, os.environ):
        items.append(item)
        if show:
            print(f"{item.level:<5} {item.name:<15} {item.told}", flush=True)
    return items


def _summary(items: list[Item]) -> str:
    failed = [item.name for item in items if item.level is Level.FAIL]
    if failed:
        return f"\nTo be mended before the agent works: {', '.join(failed)}."
    warned = [item.name for item in items if item.level is Level.WARN]
    return f"\nThe agent can run. Worth a look: {', '.join(warned)}." if warned else "\nEverything is there."
