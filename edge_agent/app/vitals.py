"""The telemetry: measured by the rooms, joined into one document every interval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.app.stores import Stores
from edge_agent.app.upkeep import Upkeep
from edge_agent.config import Config
from edge_agent.core.model import CameraState
from edge_agent.core.status import AgentStatus
from edge_agent.host.clock import Clock
from edge_agent.host.telemetry import HostTelemetry
from edge_agent.latest import Latest
from edge_agent.storage.errors import StorageError
from edge_agent.web.live import LiveView
from edge_agent.wire import telemetry_document

FIRST_AFTER_S = 1.0
"""Rates are differences: there is something to show after this."""
FIRST_PATIENCE_S = 2.0
"""How long the first connection to the broker waits for a document without rates."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is measured, and `publish` for the finished document."""

    config: Config
    host: HostTelemetry
    clock: Clock
    stores: Stores
    upkeep: Upkeep
    views: Mapping[str, LiveView]
    status: Latest[AgentStatus]
    written: Callable[[str], int]
    recorded_fps: Callable[[str], float | None]
    offload: Callable[[], dict[str, object]] | None
    publish: Callable[[dict[str, Any]], None]

    async def run_after_first(self, connection: Callable[[], Awaitable[None]]) -> None:
        """Publish what can be told at once, then run the connection: its greeting has telemetry from the first on."""
        try:
            async with asyncio.timeout(FIRST_PATIENCE_S):
                self.publish(await self._document(dict.fromkeys(self.views)))
        except TimeoutError:
            log.warning("no telemetry for the first greeting: a disk does not answer")
        await connection()

    async def run(self) -> None:
        """Measure and publish for ever."""
        before = {camera: self.written(camera) for camera in self.views}
        waited_s = FIRST_AFTER_S
        await asyncio.sleep(waited_s)
        while True:
            written = {camera: self.written(camera) for camera in self.views}
            rates = {camera: max(0, written[camera] - before[camera]) / waited_s for camera in self.views}
            before = written
            self.publish(await self._document(rates))
            waited_s = self.config.telemetry.interval_s
            await asyncio.sleep(waited_s)

    async def _document(self, rates: Mapping[str, float | None]) -> dict[str, Any]:
        values = await self.stores.state.run(self.host.sample)
        values["clock_synchronized"] = self.clock.synchronized()
        known = [rate for rate in rates.values() if rate is not None]
        values["disk"] = self._disk(sum(known) if known else None)
        values["recordings"] = await self._recordings()
        values["offload"] = self.offload and self.offload()
        values["cameras"] = {camera: self._camera(camera, rate) for camera, rate in rates.items()}
        return telemetry_document(self.config.device.id, self.clock.now().wall, values)

    def _disk(self, write_bytes_ps: float | None) -> dict[str, Any]:
        health = self.upkeep.health
        room = health.room
        if room is None:
            return {}
        usable_bytes = max(0, room.free_bytes - self.upkeep.floor_bytes(room))
        recording_bps = self.upkeep.expected_bps(self.status.value)
        return {
            "free_bytes": room.free_bytes,
            "total_bytes": room.total_bytes,
            "used_percent": round(100 * (1 - room.free_bytes / room.total_bytes), 1) if room.total_bytes else None,
            "write_bps": None if write_bytes_ps is None else round(write_bytes_ps * 8),
            "sync_ms": None if health.sync_ms is None else round(health.sync_ms, 3),
            "recording_hours_left": round(usable_bytes * 8 / recording_bps / 3600, 1) if recording_bps else None,
        }

    async def _recordings(self) -> dict[str, Any]:
        try:
            usage = await self.stores.footage.run(self.stores.archive.usage)
        except StorageError:
            return {}
        return {
            "count": usage.count,
            "bytes": usage.bytes,
            "locked_bytes": usage.locked_bytes,
            "extra_bytes": usage.extra_bytes,
            "oldest_at": usage.oldest_at,
        }

    def _camera(self, camera: str, bytes_ps: float | None) -> dict[str, Any]:
        view = self.views[camera]
        status = self.status.value
        told = status.cameras[camera] if status else None
        running = told is not None and told.state is CameraState.RUNNING
        # While recording, viewers may get fewer frames than the disk; the disk's are counted over ten seconds.
        fps: float | None = 0.0
        if running and told is not None:
            fps = self.recorded_fps(camera) if told.recording else view.fps
        return {
            "fps": None if fps is None else round(fps, 1),
            "bitrate_bps": None if bytes_ps is None else round(bytes_ps * 8),
            "viewers": view.viewers,
            "dropped_frames": view.dropped_frames,
        }
