"""Simulated devices on an event loop of their own, for tests of the tools that talk to a fleet."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_agent.app.simulation import Crowd, Simulation
from edge_agent.config import Config, parse

TIMEOUT_S = 40.0
_POLL_S = 0.02


def config_for(port: int, device: str = "sim-0001", **mqtt: object) -> Config:
    """A configuration with this broker on loopback."""
    document = {
        "device": {"id": device},
        "mqtt": {"host": "127.0.0.1", "port": port, **mqtt},
        "recording": {"segment_s": 1},
        "telemetry": {"interval_s": 1},
        "homeassistant": {"enabled": False},
    }
    return parse(document)


@contextmanager
def fleet(port: int, devices: int, *groups: str, protocol: str = "5") -> Iterator[Simulation]:
    """`devices` simulated devices, connected, until the end of the block. Call nothing of it from this thread."""
    loop = asyncio.new_event_loop()
    started: list[Simulation] = []

    async def live() -> None:
        simulation = Simulation(config_for(port, protocol=protocol), Crowd(devices, groups=groups))
        started.append(simulation)
        await simulation.run()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        wait_until(lambda: bool(started) and started[0].connected == devices, f"{devices} devices are up")
        yield started[0]
    finally:
        loop.call_soon_threadsafe(started[0].stop)
        thread.join(TIMEOUT_S)
        loop.close()


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"in vain for {timeout_s:g} s: {what}"
        time.sleep(_POLL_S)
