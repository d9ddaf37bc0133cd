"""Makes live view give way when the machine is under strain, and says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge_agent.app.disk import Disk
from edge_agent.core import events as ev
from edge_agent.core.pace import Pace, Strain
from edge_agent.core.problems import LIVE_VIEW_REDUCED
from edge_agent.host.telemetry import HostTelemetry
from edge_agent.ports import Clock, Post

LOOK_EVERY_S = 5.0

log = logging.getLogger(__name__)


async def give_way(
    host: HostTelemetry, disk: Disk, clock: Clock, limit: Callable[[float | None], None], post: Post
) -> None:
    """Measure for ever; `limit` gets the most frames a second that a viewer may have, None for all."""
    pace = Pace()
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        values = await disk.run(host.sample)
        strain = Strain(values["cpu_percent"], values["temperature_c"], values["throttled"])
        before = pace.limit_fps
        pace.take(strain, clock.now().mono_s)
        if pace.limit_fps == before:
            continue
        log.info("live view limit_fps=%s reason=%s", pace.limit_fps, pace.reason)
        limit(pace.limit_fps)
        message = None
        if pace.limit_fps is not None:
            message = f"live view shows {pace.limit_fps:g} frames a second because {pace.reason}; recording goes on"
        post(ev.ProblemChanged(LIVE_VIEW_REDUCED, message))
