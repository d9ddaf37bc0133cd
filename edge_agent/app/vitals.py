"""The telemetry: measured by the rooms, joined into one document every interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
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
"""Rates are differences: the first document has something to show after this."""


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

    async def _document(self, rates: Mapping[str, float]) -> dict[str, Any]:
        values = await self.stores.state.run(self.host.sample)
        values["clock_synchronized"] = self.clock.synchronized()
        values["disk"] = self._disk(sum(rates.values()))
        values["recordings"] = await self._recordings()
        values["offload"] = self.offload and self.offload()
        values["cameras"] = {camera: self._camera(camera, rate) for camera, rate in rates.items()}
        return telemetry_document(self.config.device.id, self.clock.now().wall, values)

    def _disk(self, write_bytes_ps: float) -> dict[str, Any]:
        health = self.upkeep.health
        room = health.room if health else None
        if health is None or room is None:
            return {}
        usable_bytes = max(0, room.free_bytes - self.upkeep.floor_bytes(room))
        recording_bps = self.upkeep.expected_bps(self.status.value)
        return {
            "free_bytes": room.free_bytes,
            "total_bytes": room.total_bytes,
            "used_percent": round(100 * (1 - room.free_bytes / room.total_bytes), 1) if room.total_bytes else None,
            "write_bps": round(write_bytes_ps * 8),
            "sync_ms": health.sync_ms,
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

    def _camera(self, camera: str, bytes_ps: float) -> dict[str, Any]:
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
            "bitrate_bps": round(bytes_ps * 8),
            "viewers": view.viewers,
            "dropped_frames": view.dropped_frames,
        }
