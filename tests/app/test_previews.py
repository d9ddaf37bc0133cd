from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from edge_agent.app.previews import CAMERA_OFF, Previews
from edge_agent.core.model import CameraState, DeviceState
from edge_agent.core.status import AgentStatus, CameraStatus
from edge_agent.host.clock import Clock
from edge_agent.latest import Frame, Latest
from edge_agent.web.live import LiveView

PICTURE = b"\xff\xd8a camera's picture\xff\xd9"


@dataclass
class View:
    """As much of a live view as previews look at: its newest picture."""

    latest: Latest[Frame] = field(default_factory=Latest)


class Shown:
    """What dashboards were sent, with cameras that a test turns on and off."""

    def __init__(self, *cameras: str) -> None:
        self.status: Latest[AgentStatus] = Latest()
        self.views = {camera: View() for camera in cameras}
        self.sent: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def turn(self, **states: CameraState) -> None:
        cameras = {
            camera: CameraStatus(state, False, None, None, None, None, None, 0, None, None)
            for camera, state in states.items()
        }
        now = Clock().now()
        for camera, state in states.items():
            if state is CameraState.RUNNING:
                self.views[camera].latest.put(Frame(PICTURE, now.wall, now.mono_s, 1))
        self.status.put(AgentStatus(DeviceState.IDLE, None, "dual-640", 0.0, None, None, None, cameras, (), None))

    @asynccontextmanager
    async def previews(self) -> AsyncIterator[None]:
        views = cast("Mapping[str, LiveView]", self.views)
        previews = Previews(3600.0, self.status, views, _nothing, Clock(), lambda *sent: self.sent.put_nowait(sent))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(previews.run(), name="previews")
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def next(self) -> tuple[str, bytes]:
        return await asyncio.wait_for(self.sent.get(), 30)


def _nothing(_camera: str) -> list[Any]:
    return []


async def test_each_camera_that_is_off_is_shown_as_that_once() -> None:
    shown = Shown("cam0", "cam1")
    shown.turn(cam0=CameraState.STOPPED, cam1=CameraState.STOPPED)
    async with shown.previews():
        assert {await shown.next(), await shown.next()} == {("cam0", CAMERA_OFF), ("cam1", CAMERA_OFF)}
        shown.turn(cam0=CameraState.RUNNING, cam1=CameraState.STOPPED)
        assert await shown.next() == ("cam0", PICTURE)
        shown.turn(cam0=CameraState.STOPPED, cam1=CameraState.STOPPED)
        assert await shown.next() == ("cam0", CAMERA_OFF)
    assert shown.sent.empty()


async def test_a_camera_in_trouble_keeps_its_last_picture() -> None:
    shown = Shown("cam0", "cam1")
    shown.turn(cam0=CameraState.RUNNING, cam1=CameraState.BACKOFF)
    async with shown.previews():
        assert await shown.next() == ("cam0", PICTURE)
        shown.turn(cam0=CameraState.BACKOFF, cam1=CameraState.RUNNING)
        assert await shown.next() == ("cam1", PICTURE)
    assert shown.sent.empty()


def test_the_picture_of_a_camera_that_is_off_is_a_small_jpeg() -> None:
    assert CAMERA_OFF.startswith(b"\xff\xd8")
    assert CAMERA_OFF.endswith(b"\xff\xd9")
    assert len(CAMERA_OFF) < 10_000
