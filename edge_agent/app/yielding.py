"""Makes live view give way when the machine is under strain, and says so to those who watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge_agent.app.disk import Disk
from edge_agent.app.screens import Screens
from edge_agent.core import events as ev
from edge_agent.core.pace import Pace, Strain
from edge_agent.core.problems import LIVE_VIEW_REDUCED
from edge_agent.host.telemetry import HostTelemetry
from edge_agent.ports import Clock, Post

LOOK_EVERY_S = 5.0

log = logging.getLogger(__name__)


async def give_way(host: HostTelemetry, disk: Disk, clock: Clock, screens: Screens, post: Post) -> None:
    """Measure for ever, and slow the screens down while it has to be."""
    yielding = Yielding(screens.limit, lambda: screens.viewers > 0, post)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        values = await disk.run(host.sample)
        strain = Strain(values["cpu_percent"], values["temperature_c"], values["throttled"])
        yielding.take(strain, clock.now().mono_s)


class Yielding:
    """`limit` gets the most frames a second that a viewer may have, None for all; whoever comes finds it there.

    The problem is told only while `watched`: what nobody sees is no news, and an idle device would say it each time
    that its processor has something to do.
    """

    def __init__(self, limit: Callable[[float | None], None], watched: Callable[[], bool], post: Post) -> None:
        self._pace = Pace()
        self._limit = limit
        self._watched = watched
        self._post = post
        self._told: str | None = None

    def take(self, strain: Strain, mono_s: float) -> None:
        """Take one measurement, made at the monotonic instant `mono_s`."""
        pace, before = self._pace, self._pace.limit_fps
        pace.take(strain, mono_s)
        if pace.limit_fps != before:
            log.info("live view limit_fps=%s reason=%s", pace.limit_fps, pace.reason)
            self._limit(pace.limit_fps)
        message = None
        if pace.limit_fps is not None and self._watched():
            message = f"live view shows {pace.limit_fps:g} frames a second because {pace.reason}; recordings are whole"
        if message != self._told:
            self._told = message
            self._post(ev.ProblemChanged(LIVE_VIEW_REDUCED, message))
