"""`edge-agent simulate`: many simulated devices against one broker."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from argparse import Namespace

from edge_agent.app.simulation import Crowd, Simulation, TooManyDevices, allow_sockets
from edge_agent.cli.brokerless import say_no_broker
from edge_agent.cli.configuration import FAULT, OK, configuration
from edge_agent.config import Config
from edge_agent.mqtt.trouble import BrokerUnavailable
from edge_agent.wire.values import counted

PROGRESS_S = 1.0


def main(options: Namespace) -> int:
    """Run the devices until Ctrl-C, SIGTERM or `--seconds`."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    config = configuration(options)
    if options.telemetry_interval is not None:
        telemetry = config.telemetry.model_copy(update={"interval_s": options.telemetry_interval})
        config = config.model_copy(update={"telemetry": telemetry})
    crowd = Crowd(options.devices, options.prefix, tuple(options.group), options.own_users)
    try:
        allow_sockets(crowd.devices)
        asyncio.run(_simulate(config, crowd, options.seconds, keep=options.keep))
    except TooManyDevices as error:
        print(f"edge-agent simulate: {error}", file=sys.stderr)
        return FAULT
    except BrokerUnavailable as error:
        return say_no_broker("simulate", config, error)
    return OK


async def _simulate(config: Config, crowd: Crowd, seconds: float | None, *, keep: bool) -> None:
    loop = asyncio.get_running_loop()
    simulation = Simulation(config, crowd)
    await simulation.greet()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, simulation.stop)
    if seconds is not None:
        loop.call_later(seconds, simulation.stop)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(simulation.run(), name="simulation")
        progress = tasks.create_task(_tell_progress(simulation, crowd.devices), name="progress")
        await simulation.stopping.wait()
        progress.cancel()
    if not keep:
        await simulation.forget()
    print("all devices have left" + ("" if keep else ", and the broker keeps nothing of them"), flush=True)


async def _tell_progress(simulation: Simulation, devices: int) -> None:
    """A line whenever the number of connected devices has changed."""
    told = -1
    while True:
        if simulation.connected != told:
            told = simulation.connected
            print(f"{told} of {counted(devices, 'device')} connected", flush=True)
        await asyncio.sleep(PROGRESS_S)
