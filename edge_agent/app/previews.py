"""Small pictures for dashboards, over the broker: of running cameras every now and then, else that a camera is off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.app.recording import OpenFootage
from edge_agent.children import ChildFailed, run_child
from edge_agent.core.model import CameraState
from edge_agent.core.status import AgentStatus, CameraStatus
from edge_agent.latest import Latest
from edge_agent.ports import Clock
from edge_agent.web.live import LiveView

FRESH_S = 2.0
WIDTH, QUALITY = "320", "70"
NEWEST_S = "1e9"
"""Beyond any segment's end: the child takes the last key frame before it."""

CAMERA_OFF = Path(__file__).with_name("camera-off.jpg").read_bytes()
"""Shown of a camera that is off: Home Assistant answers 500 for one without a picture, and an old one would pass for
what is to be seen now."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Previews:
    """Where pictures come from, and `publish` for a camera's JPEG."""

    interval_s: float
    status: Latest[AgentStatus]
    views: Mapping[str, LiveView]
    open_footage: Callable[[str], list[OpenFootage]]
    clock: Clock
    publish: Callable[[str, bytes], None]

    async def run(self) -> None:
        """Publish for ever, one camera at a time, and soon after a camera came to run or was stopped."""
        off: set[str] = set()
        while True:
            stopped, running = self._are(CameraState.STOPPED), self._are(CameraState.RUNNING)
            for camera in stopped.keys() - off:
                self.publish(camera, CAMERA_OFF)
            off = set(stopped)
            for camera, status in running.items():
                await self._one(camera, status)
            try:
                async with asyncio.timeout(self.interval_s):
                    while self._came(CameraState.RUNNING, running) == self._came(CameraState.STOPPED, off) == set():
                        await self.status.newer(self.status.count)
            except TimeoutError:
                pass

    def _came(self, state: CameraState, before: Iterable[str]) -> set[str]:
        return self._are(state).keys() - set(before)

    def _are(self, state: CameraState) -> dict[str, CameraStatus]:
        status = self.status.value
        if status is None:
            return {}
        return {name: one for name, one in status.cameras.items() if one.state is state}

    async def _one(self, camera: str, status: CameraStatus) -> None:
        frame = self.views[camera].latest.value
        if frame is not None and self.clock.now().mono_s - frame.captured_mono_s < FRESH_S:
            self.publish(camera, frame.jpeg)
            return
        footage = self.open_footage(camera)
        if not status.recording or not footage:
            return
        # One key frame by a child of 0.1 s costs less than a tap that decodes all the time.
        path = str(footage[-1].path)
        try:
            jpeg = await run_child(
                "media.thumbnail", [path, "-", "--width", WIDTH, "--quality", QUALITY, "--at", NEWEST_S]
            )
        except ChildFailed as error:
            log.debug("no preview: camera=%s error=%s", camera, error)
            return
        self.publish(camera, jpeg)
