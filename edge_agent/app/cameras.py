"""Which camera program there is, what it can do, and which of its cameras are ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import Camera
from edge_agent.ports import Post
from edge_agent.rpicam.probe import Abilities, CameraInfo, ProbeFailed, bind, list_cameras, probe
from edge_agent.wire import CameraAbout

LOOK_AGAIN_S = 60.0
"""How often missing cameras are looked for: `--list-cameras` disturbs nobody, and a plugged cable shows up."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cameras:
    """The camera program and its cameras. `indexes` and `missing` change in place when cameras come or go."""

    config: Config
    abilities: Abilities
    environment: dict[str, str]
    found: bool
    indexes: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    infos: tuple[CameraInfo, ...] = ()

    def bound(self, camera: str) -> tuple[Camera, int]:
        """A configured camera and the program's own number for it."""
        configured = next(one for one in self.config.camera_list() if one.id == camera)
        return configured, self.indexes.get(camera, configured.index)

    async def look(self) -> None:
        """Ask the program which cameras it sees, and bind ours to them."""
        cameras = self.config.camera_list()
        if not self.found or (problem := self.abilities.recording_problem):
            reason = problem if self.found else f"{self.abilities.program[0]} was not found"
            self.missing = {camera.id: str(reason) for camera in cameras}
            return
        listed = await list_cameras(self.abilities, environ=self.environment)
        if isinstance(listed, ProbeFailed):
            self.missing = {camera.id: listed.message for camera in cameras}
            return
        binding = bind(cameras, listed)
        self.infos = listed
        self.indexes.clear()
        self.indexes.update(binding.indexes)
        self.missing = dict(binding.missing)

    async def watch(self, post: Post, changed: Callable[[], None]) -> None:
        """Look again for ever while something is missing, and tell what was found."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            if self.missing and self.found:
                before = self.missing
                await self.look()
                if self.missing != before:
                    post(ev.CamerasFound(dict(self.missing)))
                    changed()

    def about(self) -> tuple[CameraAbout, ...]:
        """The cameras as the info document shows them."""
        models = {info.index: info.model for info in self.infos}
        return tuple(
            CameraAbout(
                id=camera.id,
                name=camera.name,
                index=self.indexes.get(camera.id, camera.index),
                model=models.get(self.indexes.get(camera.id, -1)),
                present=camera.id not in self.missing,
            )
            for camera in self.config.camera_list()
        )


async def find_cameras(config: Config, environment: Mapping[str, str]) -> Cameras:
    """Probe the configured program; simulated cameras stand in only where nothing is configured and none is there."""
    environ = dict(environment)
    command = config.rpicam.command
    found = await probe(command, environ=environ)
    if isinstance(found, ProbeFailed) and config.may_simulate:
        log.warning("%s; SIMULATED CAMERAS stand in: these are test pictures, not footage", found.message)
        found = await probe("simulated", environ=environ)
    if isinstance(found, ProbeFailed):
        log.error("no camera program: %s", found.message)
        nothing = Abilities(
            (command,), (0, 0, 0), "not found", has_libav=False, hardware_encoder=False, simulated=False
        )
        cameras = Cameras(config, nothing, environ, found=False)
        cameras.missing = {camera.id: found.message for camera in config.camera_list()}
        return cameras
    log.info("camera program=%s version=%s simulated=%s", found.program[0], found.version_text, found.simulated)
    cameras = Cameras(config, found, environ, found=True)
    await cameras.look()
    for camera, reason in cameras.missing.items():
        log.warning("camera missing: %s: %s", camera, reason)
    return cameras
