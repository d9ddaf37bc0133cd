"""The live picture as people chose it on the page: in force at once, and kept over restarts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from edge_agent.app.disk import Disk
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Profile
from edge_agent.durable import write_durably

NAME = "live.json"

log = logging.getLogger(__name__)


class ChosenPicture:
    """Implements the web room's `LiveSettings`. `show` brings a profile to all cameras."""

    def __init__(self, profile: Profile, path: Path, disk: Disk, show: Callable[[Profile], None]) -> None:
        self.profile = profile
        self._path = path
        self._disk = disk
        self._show = show

    async def change(self, profile: Profile) -> Refusal | None:
        try:
            await self._disk.run(write_durably, self._path, json.dumps({"v": 1, **asdict(profile)}).encode())
        except OSError as error:
            return Refusal(Code.INTERNAL, f"the choice cannot be kept in {self._path}: {error.strerror or error}")
        self.profile = profile
        self._show(profile)
        log.info("live picture width=%d height=%d fps=%d", profile.width, profile.height, profile.fps)
        return None


def chosen_before(path: Path, configured: Profile) -> Profile:
    """What was chosen in an earlier life, else what is configured. Blocking."""
    try:
        document = json.loads(path.read_text("utf-8"))
        numbers = {name: int(document[name]) for name in ("width", "height", "fps", "quality")}
    except (OSError, ValueError, KeyError, TypeError):
        return configured
    return Profile(**numbers) if all(number > 0 for number in numbers.values()) else configured
