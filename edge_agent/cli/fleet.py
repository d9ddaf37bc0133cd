"""`edge-agent fleet status`: every device of the broker as a table or as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from argparse import Namespace
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime

from edge_agent.app.watching import watch
from edge_agent.cli.brokerless import say_no_broker
from edge_agent.cli.configuration import FAULT, OK, configuration
from edge_agent.cli.table import age, size, table
from edge_agent.config import Config
from edge_agent.fleet.roster import EVERYBODY, Row
from edge_agent.host.clock import Clock
from edge_agent.mqtt.trouble import BrokerUnavailable
from edge_agent.wire.values import counted, format_instant

HEADER = ("DEVICE", "BROKER", "STATE", "MODE", "FREE", "USED", "HOURS", "TEMP", "SEEN", "PROBLEMS")
_CLEAR = "\x1b[H\x1b[J"
"""Moves a terminal's cursor to the top and clears what is below."""


def main(options: Namespace) -> int:
    """Show the fleet once or, with `--watch`, until Ctrl-C."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    config = configuration(options)
    try:
        asyncio.run(_show(config, options))
    except BrokerUnavailable as error:
        return say_no_broker("fleet status", config, error)
    except KeyboardInterrupt:
        return OK if options.watch else FAULT
    return OK


async def _show(config: Config, options: Namespace) -> None:
    clock = Clock()
    async with aclosing(watch(config, options.interval if options.watch else None)) as looks:
        async for roster in looks:
            rows = roster.rows(options.group or EVERYBODY)
            now = clock.now().wall
            if options.json:
                indent = None if options.watch else 2
                print(json.dumps([document(row) for row in rows], indent=indent, ensure_ascii=False), flush=True)
                continue
            top = _CLEAR if options.watch and sys.stdout.isatty() else ""
            print(top + "\n".join(lines(rows, now)), flush=True)


def lines(rows: list[Row], now: datetime) -> list[str]:
    """The table and a sum below it."""
    if not rows:
        return ["no device is known to the broker"]
    online = sum(row.online is True for row in rows)
    recording = sum(row.state == "recording" and row.online is True for row in rows)
    troubled = sum(bool(row.problems) for row in rows)
    told = f"{counted(len(rows), 'device')}, {online} online, {recording} recording, {troubled} with problems"
    return [*table(HEADER, [_cells(row, now) for row in rows]), "", told]


def document(row: Row) -> dict[str, object]:
    """A row as JSON values."""
    return {**asdict(row), "seen_at": format_instant(row.seen_at) if row.seen_at else None}


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    online = {True: "online", False: "OFFLINE", None: "?"}[row.online]
    return (
        f"{row.device} (simulated)" if row.simulated else row.device,
        online,
        row.state or "",
        row.mode or "",
        size(row.disk_free_bytes),
        "" if row.disk_used_percent is None else f"{row.disk_used_percent:.0f} %",
        "" if row.hours_left is None else f"{row.hours_left:.0f} h",
        "" if row.temperature_c is None else f"{row.temperature_c:.0f} C",
        age((now - row.seen_at).total_seconds()) if row.seen_at else "",
        ", ".join(row.problems),
    )
