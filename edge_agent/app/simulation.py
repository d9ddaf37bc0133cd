"""Many simulated devices in one process: real minds and real connections with a pretended outside.

Each device is a core agent with its own driver and gateway, so that every verb, refusal and document is what a real
device would send. Only cameras, disks and figures are made up (`fleet/pretence.py`), and `info.simulated` says so.
"""

from __future__ import annotations

import asyncio
import random
import resource
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edge_agent import __version__
from edge_agent.app.doors import Broker, announcer, gateway_of, mqtt_door, problem_teller
from edge_agent.app.line import connected, tool_endpoint
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.agent import Agent, Settings
from edge_agent.core.commands import Command, Result, Verb
from edge_agent.core.effects import SavedState
from edge_agent.core.ledger import REMEMBERED
from edge_agent.core.model import EventType
from edge_agent.core.status import AgentStatus
from edge_agent.driver import Driver, Hands
from edge_agent.fleet.pretence import Footage, PretendedJobs, PretendedRuns, PretendedVitals
from edge_agent.host.clock import Clock
from edge_agent.mqtt.gateway import Callbacks, Gateway
from edge_agent.mqtt.messages import Message
from edge_agent.mqtt.topics import CameraKind, CameraTopic, DeviceKind, DeviceTopic
from edge_agent.wire import (
    About,
    CameraAbout,
    event_document,
    info_document,
    result_document,
    status_document,
    telemetry_document,
)

CONNECTS_PER_S = 150
"""How fast devices come up: each connection costs the simulator a few milliseconds."""
SPARE_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many devices, what they are called, and the groups that they are dealt to in turn."""

    devices: int
    prefix: str = "sim"
    groups: tuple[str, ...] = ()
    own_users: bool = False

    def configs(self, config: Config) -> list[Config]:
        """The configuration of each device: that of this machine, under another name."""
        return [self._config(config, number) for number in range(1, self.devices + 1)]

    def _config(self, config: Config, number: int) -> Config:
        name = f"{self.prefix}-{number:04d}"
        groups = (self.groups[(number - 1) % len(self.groups)],) if self.groups else config.device.groups
        device = config.device.model_copy(update={"id": name, "name": None, "groups": groups})
        update: dict[str, Any] = {"device": device}
        if self.own_users:
            update["mqtt"] = config.mqtt.model_copy(update={"username": name})
        return config.model_copy(update=update)


class Simulation:
    """Make it on the event loop, await `run` in a task, end it by `stop`. `allow_sockets` comes first."""

    def __init__(self, config: Config, crowd: Crowd) -> None:
        endpoint = tool_endpoint(config, "")
        self._broker = Broker(endpoint.host, endpoint.port)
        self._configs = crowd.configs(config)
        self._crowd = crowd
        self.stopping = asyncio.Event()
        self.devices: list[Device] = []

    @property
    def connected(self) -> int:
        """How many devices a broker hears now."""
        return sum(device.connected for device in self.devices)

    async def greet(self) -> None:
        """See once whether the broker lets the first device in. Raises `BrokerUnavailable`."""
        async with connected(self._configs[0], lambda _: None):
            pass

    async def run(self) -> None:
        """Keep all devices up until `stop`; broker troubles end none of them."""
        clock = Clock()
        async with asyncio.TaskGroup() as tasks:
            for number, config in enumerate(self._configs, start=1):
                device = Device(config, self._broker, clock, tasks)
                self.devices.append(device)
                tasks.create_task(device.run(), name=f"device {config.device.id}")
                if number % (CONNECTS_PER_S // 10) == 0 and await self._stopped_within(0.1):
                    break
            await self.stopping.wait()
            for device in self.devices:
                device.leave()

    def stop(self) -> None:
        """Let all devices say `offline` and leave."""
        self.stopping.set()

    async def forget(self) -> None:
        """Remove what the broker keeps of these devices. Raises `BrokerUnavailable`."""
        if self._crowd.own_users:
            for config in self._configs:
                await _forget([config])
        else:
            await _forget(self._configs)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True


class Device:
    """One simulated device, over any number of lives: `restart` begins a new one with what the last remembered."""

    def __init__(self, config: Config, broker: Broker, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        self._config = config
        self._broker = broker
        self._clock = clock
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._footage = Footage()
        self._cameras = [camera.id for camera in config.camera_list()]
        self._runs = PretendedRuns(clock, self._footage, self._report, config.recording.segment_s)
        self._vitals = PretendedVitals(clock)
        self._saved = SavedState(config.default_mode(), 0.0, 1, None)
        self._answered: dict[str, Result] = {}
        self._gateway: Gateway | None = None
        self._boot_id = ""
        self._driver: Driver | None = None
        self._telemetry_timer: asyncio.TimerHandle | None = None
        self._leaving = asyncio.Event()
        self._gone = False

    @property
    def connected(self) -> bool:
        return self._gateway is not None and self._gateway.connected

    async def run(self) -> None:
        """Live, and live again after each restart, until `leave`."""
        while not self._gone:
            self._leaving.clear()
            await self._live()
        self._runs.close()

    def leave(self) -> None:
        """Say `offline` and end `run`."""
        self._gone = True
        self._leaving.set()

    async def _live(self) -> None:
        self._boot_id = secrets.token_hex(4)
        config = self._config
        jitter = random.random()  # noqa: S311 - spreads retries, no secret
        settings = Settings(config.camera_list(), config.mode_table(), config.live_profile(), jitter)
        session = self._saved.session
        agent = Agent(settings, replace(self._saved, session=None), dict(self._answered))
        driver = self._driver = Driver(agent, self._clock)
        announce = announcer(self.announce, self._tasks)
        callbacks = Callbacks(mqtt_door(driver), problem_teller(driver), announce, self._clock.now)
        gateway = self._gateway = gateway_of(
            config, self._broker, self._boot_id, callbacks, births=config.homeassistant.enabled
        )
        jobs = PretendedJobs(self._cameras, self._clock, self._footage, self._report, gateway.snapshot)
        driver.start(Hands(self._runs, self, self, jobs, self))
        driver.status.subscribe(self._status_changed)
        self._runs.post = jobs.post = driver.post
        gateway.info(self._about(self._clock.now().wall))
        for camera in self._cameras:
            gateway.camera_availability(camera, online=True)
        driver.post(ev.CamerasFound({}))
        driver.post(ev.Booted(self._runs.records, session))
        self._measure()
        self._tasks.create_task(gateway.run(), name=f"connection of {config.device.id}")
        await self._leaving.wait()
        driver.stop()
        if self._telemetry_timer is not None:
            self._telemetry_timer.cancel()
        await gateway.stop()

    # -- ports.Process, ports.Memory ----------------------------------------------------------------------------------

    def restart(self) -> None:
        self._leaving.set()

    def save(self, state: SavedState) -> None:
        self._saved = state

    # -- ports.Outlet -------------------------------------------------------------------------------------------------

    def answer(self, command: Command, result: Result) -> Result:
        if result.final and not result.duplicate:
            self._answered[result.id] = result
            while len(self._answered) > REMEMBERED:
                del self._answered[next(iter(self._answered))]
        status = self._driver.status.value if self._driver else None
        if result.verb == Verb.PING and result.final and status is not None:
            told = status_document(self._config.device.id, self._boot_id, result.at, status)
            result = replace(result, data={"status": told})
        document = result_document(self._config.device.id, result)
        self._the_gateway().result(document, reply_to=command.reply_to, correlation=command.correlation)
        return result

    def report(self, event_type: EventType, at: datetime, fields: dict[str, Any]) -> None:
        self._the_gateway().event(event_document(self._config.device.id, event_type, at, fields))

    def announce(self) -> None:
        self._the_gateway().announce()

    # -- documents ----------------------------------------------------------------------------------------------------

    def _report(self, event_type: EventType, fields: dict[str, Any]) -> None:
        self.report(event_type, self._clock.now().wall, fields)

    def _status_changed(self, status: AgentStatus) -> None:
        document = status_document(self._config.device.id, self._boot_id, self._clock.now().wall, status)
        self._the_gateway().status(document)

    def _measure(self) -> None:
        """Publish telemetry, the first time at once, then at an instant of the device's own in each interval."""
        interval_s = self._config.telemetry.interval_s
        first = self._telemetry_timer is None
        wait_s = random.uniform(0, interval_s) if first else interval_s  # noqa: S311 - spreads a fleet, no secret
        self._telemetry_timer = self._loop.call_later(wait_s, self._measure)
        values = self._vitals.values(self._runs.bit_rates, self._cameras, self._footage.figures)
        self._the_gateway().telemetry(telemetry_document(self._config.device.id, self._clock.now().wall, values))

    def _about(self, now: datetime) -> dict[str, Any]:
        config = self._config
        told = About(
            device=config.device.id,
            name=config.device.title,
            groups=config.device.groups,
            version=__version__,
            boot_id=self._boot_id,
            started_at=now,
            simulated=True,
            rpicam_program=None,
            rpicam_version=None,
            http_url=None,
            base_topic=config.mqtt.base_topic,
            protocol=config.mqtt.protocol,
        )
        cameras = [CameraAbout(one.id, one.name, one.index, "simulated", True) for one in config.camera_list()]
        return info_document(told, now, cameras, list(config.mode_table().values()))

    def _the_gateway(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("the device is not up")
        return self._gateway


async def _forget(configs: Sequence[Config]) -> None:
    """Clear every retained topic of these devices, by one connection under the first one's credentials."""
    async with connected(configs[0], lambda _: None) as line:
        for config in configs:
            device, cameras = config.device.id, [camera.id for camera in config.camera_list()]
            kinds = (DeviceKind.INFO, DeviceKind.STATUS, DeviceKind.TELEMETRY, DeviceKind.AVAILABILITY)
            topics = [line.tree.build(DeviceTopic(device, kind)) for kind in kinds]
            for kind in (CameraKind.AVAILABILITY, CameraKind.SNAPSHOT):
                topics += [line.tree.build(CameraTopic(device, camera, kind)) for camera in cameras]
            for topic in topics[:-1]:
                await line.publish(Message(topic, b"", qos=0, retain=True))
            await line.publish(Message(topics[-1], b"", retain=True))  # acknowledged, and with it those before


class TooManyDevices(Exception):
    """The system does not let one process have so many sockets; the message says what to do."""


def allow_sockets(devices: int) -> None:
    """Allow this process a socket for each device. Raises `TooManyDevices`."""
    wanted = devices + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise TooManyDevices(f"{devices} devices need {wanted} open files, the system allows {hard}: raise ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
