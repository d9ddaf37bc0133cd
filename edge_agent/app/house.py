"""The composition root: builds everything, holds the one TaskGroup, and knows the order of starting and stopping.

Starting: the disks and what lies on them; the camera program; the core with what it remembers; then the first event,
with what was found; then the doors. Stopping: recordings are finished and stored, the broker hears `offline`, and
everything ends. A restart leaves the recorders running for the next agent.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Mapping
from enum import Enum

from edge_agent.app.cameras import find_cameras
from edge_agent.app.doors import Broker, announcer, broker_of, gateway_of, mqtt_door, problem_teller
from edge_agent.app.front import about, web_server, welcome
from edge_agent.app.homeassistant import Announcer, hears_births
from edge_agent.app.jobs import Bench, Jobs
from edge_agent.app.library import Library
from edge_agent.app.memory import Memory
from edge_agent.app.offloading import Desk, begin
from edge_agent.app.outlet import Feeds, Outlet
from edge_agent.app.picture import NAME as CHOSEN_PICTURE
from edge_agent.app.picture import ChosenPicture, chosen_before
from edge_agent.app.previews import Previews
from edge_agent.app.pulse import Pulse
from edge_agent.app.recording import Studio
from edge_agent.app.runs import Runs
from edge_agent.app.screens import Screens
from edge_agent.app.showing import Stage
from edge_agent.app.stalls import StallWatch
from edge_agent.app.stores import Stores
from edge_agent.app.upkeep import Care, Upkeep
from edge_agent.app.vitals import Vitals
from edge_agent.app.waking import wake
from edge_agent.app.yielding import give_way
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import EventType
from edge_agent.driver import Hands
from edge_agent.host.clock import Clock, ClockWatch
from edge_agent.host.systemd import ServiceManager
from edge_agent.host.telemetry import HostTelemetry
from edge_agent.mqtt.gateway import Callbacks, Gateway
from edge_agent.rpicam.argv import environment
from edge_agent.rpicam.process import read_boot_id
from edge_agent.storage.volume import Health
from edge_agent.web.server import WebServer, make_access

FINISH_PATIENCE_S = 20.0
"""How long a leaving agent waits for recordings to be finished and stored; the stop ladder takes 13 s at the worst."""

log = logging.getLogger(__name__)


class Leaving(Enum):
    """Why the agent ends."""

    STOP = "stop"
    RESTART = "restart"


class _Left(Exception):
    """Ends the TaskGroup when everything is in order."""


async def live(config: Config, environ: Mapping[str, str], tell_person: Callable[[str], None]) -> Leaving:
    """Run the agent until it is asked to leave, and say why it did.

    `tell_person` shows what is for people's eyes only: the welcome, a new token. Raises `InUse` and `TokensUnusable`.
    """
    house = House(config, environ, tell_person)
    try:
        await house.prepare()
        async with asyncio.TaskGroup() as tasks:
            await house.start(tasks)
    except* _Left:
        pass
    finally:
        house.close()
    return house.leaving


class House:
    """One agent: `start` it within a TaskGroup, which ends by itself when the agent is to leave, then `close`."""

    def __init__(self, config: Config, environ: Mapping[str, str], tell_person: Callable[[str], None]) -> None:
        self.leaving = Leaving.STOP
        self._tell_person = tell_person
        self._config = config
        self._environ = environ
        self._clock = Clock()
        self._boot_id = secrets.token_hex(4)
        self._started_at = self._clock.now().wall
        self._machine_boot = read_boot_id()
        self._stores = Stores(config, self._clock)
        self._services = ServiceManager(environ)
        self._leave_asked = asyncio.Event()
        self._feeds = Feeds.empty()
        self._gateway: Gateway | None = None
        self._broker: Broker | None = None
        self._http_url: str | None = None
        self._web: WebServer | None = None

    async def prepare(self) -> None:
        """See that nobody else is here and who may come in. Raises `InUse` and `TokensUnusable`."""
        await self._stores.claim()
        web, state_dir = self._config.web, self._config.device.state_dir
        self._access, new_token = await self._stores.state.run(make_access, web, state_dir, self._clock.now)
        if new_token is not None:
            self._tell_person(f"A new access token, shown this once: {new_token}")

    # -- starting -----------------------------------------------------------------------------------------------------

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Build everything and start what goes on for ever as tasks."""
        self._catch_signals()
        config = self._config
        self._cameras = await find_cameras(config, environment(self._environ))
        health = await self._stores.first_look()
        found = await self._stores.find_runs(self._machine_boot)
        awake = await wake(config, self._stores, self._clock, self._machine_boot, found)
        self._driver = awake.driver
        self._screens = Screens(config, self._clock, self._driver.post)
        self._screens.ports |= found.tap_ports
        self._screens.start(tasks)
        self._outlet = self._build_outlet(tasks)
        self._upkeep = self._build_upkeep(health)
        runs = self._build_runs(tasks)
        stores, cameras = self._stores, list(self._screens.views)
        self._library = Library(stores.archive, config.recording.root, stores.footage, cameras, runs.spooled_footage)
        memory = Memory(self._stores.state_file, self._stores.state, self._machine_boot, tasks, self._driver.post)
        self._driver.start(Hands(runs, self._outlet, memory, Jobs(self._build_bench(), tasks), self))
        self._driver.status.subscribe(self._screens.status)
        self._driver.status.subscribe(self._outlet.status)
        self._driver.post(ev.CamerasFound(dict(self._cameras.missing)))
        self._driver.post(ev.ProblemChanged("configuration", config.trouble))
        await self._restore_picture()
        self._upkeep.begin()
        await runs.end_strays(found)
        runs.take_over(found)  # before the core hears of them: it may want some stopped at once
        self._driver.post(ev.Booted(found.records, awake.session, autostart=config.recording.autostart))
        if not self._stores.scanned:
            tasks.create_task(self._stores.scan(), name="scan the archive")
        self._gateway = await self._open_doors(tasks)
        for command, result in awake.answers:
            self._outlet.answer(command, result)
        self._open_page()
        self._tell_about()
        homeassistant = Announcer(config, self._gateway, self._stores.state, self._http_url, tasks)
        await homeassistant.announce()
        self._outlet.announced = homeassistant.announced_again
        self._keep_going(tasks, self._gateway)
        self._services.ready(f"recordings in {config.recording.root}")

    async def _restore_picture(self) -> None:
        path = self._config.device.state_dir / CHOSEN_PICTURE
        chosen = await self._stores.state.run(chosen_before, path, self._config.live_profile())
        self._picture = ChosenPicture(chosen, path, self._stores.state, self._screens.show)
        self._screens.show(chosen)

    async def _recover(self, unread: bool) -> None:
        """The volume is well again: know what lies on it, and store what recorders had to leave in the spool."""
        if unread:
            await self._stores.first_look()
        await self._stores.scan()
        await self._runs.recover()

    def _open_page(self) -> None:
        """Listen. A port that is taken must not keep cameras from recording: it is a problem, not the end."""
        config, driver, screens = self._config, self._driver, self._screens
        self._web = web_server(
            config, self._access, self._boot_id, driver, self._feeds, self._library, self._picture, screens
        )
        try:
            self._web.start()
        except OSError as error:
            told = (
                f"the page cannot be served on {config.web.host}:{config.web.port} ({error.strerror or error}): "
                "end what listens there, or set another web.host or web.port, then restart the agent"
            )
            log.warning("%s", told)
            driver.post(ev.ProblemChanged("web_unavailable", told))
            return
        self._http_url = self._web.url

    async def _open_doors(self, tasks: asyncio.TaskGroup) -> Gateway:
        tell = problem_teller(self._driver)
        broker = self._broker = await broker_of(self._config, tell)
        if broker.missing is not None:
            tell("broker_missing", broker.missing)
        callbacks = Callbacks(mqtt_door(self._driver), tell, announcer(self._outlet.announce, tasks), self._clock.now)
        births = await self._stores.state.run(hears_births, self._config)
        gateway = gateway_of(self._config, broker, self._boot_id, callbacks, births=births)
        self._outlet.connect(gateway)
        self._pulse.gateway = gateway
        return gateway

    def _keep_going(self, tasks: asyncio.TaskGroup, gateway: Gateway) -> None:
        offload = begin(Desk(self._config, self._stores, self._clock, self._driver.post, self._report), tasks)
        vitals = self._build_vitals(offload)
        if self._broker is not None:
            simulated = self._cameras.abilities.simulated
            self._tell_person(welcome(self._config, self._broker, self._http_url, simulated=simulated))
            if self._broker.missing is None:
                connection = vitals.run_after_first(gateway.run)
                self._pulse.connection = tasks.create_task(connection, name="broker connection")
            if self._broker.embedded is not None:
                tasks.create_task(self._broker.embedded.run(), name="embedded broker")
        tasks.create_task(self._leave(), name="leave")
        stalls = StallWatch((self._stores.footage, self._stores.probing), self._driver.post)
        tasks.create_task(stalls.run(), name="stall watch")
        tasks.create_task(self._upkeep.run(), name="upkeep")
        tasks.create_task(vitals.run(), name="vitals")
        yielding = give_way(
            HostTelemetry(self._clock), self._stores.state, self._clock, self._screens, self._driver.post
        )
        tasks.create_task(yielding, name="give way")
        if interval_s := self._config.homeassistant.preview_interval_s:
            tasks.create_task(self._build_previews(interval_s).run(), name="previews")
        tasks.create_task(ClockWatch(self._clock).run(self._clock_stepped), name="clock watch")
        tasks.create_task(self._cameras.watch(self._driver.post, self._tell_about), name="camera watch")
        if self._services.watchdog_s is not None:
            tasks.create_task(self._services.feed_watchdog(self._pulse.trouble), name="watchdog")

    # -- building -----------------------------------------------------------------------------------------------------

    def _build_outlet(self, tasks: asyncio.TaskGroup) -> Outlet:
        return Outlet(
            self._config.device.id,
            self._boot_id,
            self._feeds,
            self._stores,
            self._clock,
            tasks,
            self._driver.status,
            self._driver.post,
        )

    def _build_runs(self, tasks: asyncio.TaskGroup) -> Runs:
        studio = Studio(
            config=self._config,
            cameras=self._cameras,
            tap_ports=self._screens.ports,
            boot_id=self._machine_boot,
            stores=self._stores,
            clock=self._clock,
            clock_synchronized=self._clock.synchronized,
            post=self._driver.post,
            on_storage_error=self._upkeep.note,
            on_stored=self._upkeep.stored,
        )
        stage = Stage(
            config=self._config,
            cameras=self._cameras,
            boot_id=self._machine_boot,
            state=self._stores.state,
            clock=self._clock,
            post=self._driver.post,
            publish=self._screens.publish,
        )
        self._runs = Runs(studio, stage, tasks)
        self._pulse = Pulse(self._stores, self._runs, self._services.watchdog_s)
        return self._runs

    def _build_upkeep(self, health: Health) -> Upkeep:
        care = Care(
            config=self._config,
            stores=self._stores,
            clock=self._clock,
            status=self._driver.status,
            post=self._driver.post,
            report=self._report,
            recover=self._recover,
            leftovers=lambda: self._runs.leftovers,
        )
        return Upkeep(care, health)

    def _build_bench(self) -> Bench:
        return Bench(
            views=self._screens.views,
            stores=self._stores,
            library=self._library,
            config=self._config,
            clock=self._clock,
            status=self._driver.status,
            report=self._report,
            publish_snapshot=self._outlet.snapshot,
            post=self._driver.post,
        )

    def _build_vitals(self, offload: Callable[[], dict[str, object]] | None) -> Vitals:
        return Vitals(
            config=self._config,
            host=HostTelemetry(self._clock),
            clock=self._clock,
            stores=self._stores,
            upkeep=self._upkeep,
            views=self._screens.views,
            status=self._driver.status,
            written=self._runs.written_bytes,
            recorded_fps=self._runs.fps,
            offload=offload,
            publish=self._outlet.telemetry,
        )

    def _build_previews(self, interval_s: float) -> Previews:
        return Previews(
            interval_s=interval_s,
            status=self._driver.status,
            views=self._screens.views,
            open_footage=self._runs.open_footage,
            clock=self._clock,
            publish=self._outlet.preview,
        )

    # -- between the rooms --------------------------------------------------------------------------------------------

    def _report(self, event_type: EventType, fields: dict[str, object]) -> None:
        self._outlet.report(event_type, self._clock.now().wall, fields)

    def _clock_stepped(self, step_s: float) -> None:
        self._upkeep.last_step_mono_s = self._clock.now().mono_s
        self._driver.post(ev.ClockStepped(step_s))

    def _tell_about(self) -> None:
        now = self._clock.now().wall
        self._outlet.info(about(self._config, self._cameras, self._boot_id, self._started_at, self._http_url, now))

    # -- leaving ------------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """`ports.Process`: leave, and be started anew."""
        self.leaving = Leaving.RESTART
        self._leave_asked.set()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._leave_asked.set)
        # A terminal that is closed means the same as Ctrl-C there: recorders that nobody attends would fill the disk.
        # Under nohup it is ignored, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._leave_asked.set)

    async def _leave(self) -> None:
        await self._leave_asked.wait()
        log.info("leaving: %s", self.leaving.value)
        if self.leaving is Leaving.RESTART:
            # Not STOPPING: systemd would end a process that is still there when its stop timeout is over.
            self._services.status("restarting")
        else:
            self._services.stopping(self.leaving.value)
            self._driver.post(ev.StopRequested())
            await self._finish_recordings()
        self._driver.stop()
        if self._web is not None:
            await self._web.stop()
        self._screens.close()
        await self._outlet.settle()
        if self._gateway is not None:
            await self._gateway.stop()
        if self._broker is not None and self._broker.embedded is not None:
            await self._broker.embedded.stop()
        raise _Left

    async def _finish_recordings(self) -> None:
        try:
            async with asyncio.timeout(FINISH_PATIENCE_S):
                while self._runs.busy:
                    await self._driver.status.newer(self._driver.status.count)
        except TimeoutError:
            log.warning("recordings are not finished after %.0f s: the next start recovers them", FINISH_PATIENCE_S)

    def close(self) -> None:
        """Let go of disks and files."""
        self._stores.close()
