"""Looks after the recording volume: whether it is there and has room, and what has to go so that it stays so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.app.disk import Disk
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import EventType, Purpose
from edge_agent.core.retention import Policy, RetentionPlan, is_below_floor
from edge_agent.core.status import AgentStatus
from edge_agent.host.clock import Clock
from edge_agent.ports import Post
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.volume import Health, Room, Volume

LOOK_EVERY_S = 2.0
PROBE_EVERY_S = 30.0
"""Writing and syncing a small file shows what no figure does: a disk that takes nothing any more."""
TIDY_EVERY_S = 60.0
STALLED_AFTER_S = 5.0
RESUME_AFTER_S = 3.0
"""A disk that was full has to show room for so long before recording goes on: no tight loop at the edge."""

log = logging.getLogger(__name__)

_PROBLEMS = {
    Trouble.FULL: "disk_full",
    Trouble.NO_INODES: "disk_full",
    Trouble.READ_ONLY: "read_only",
    Trouble.DENIED: "read_only",
    Trouble.IO_ERROR: "disk_error",
    Trouble.VOLUME_MISSING: "volume_missing",
    Trouble.OTHER_VOLUME: "volume_missing",
}


@dataclass(frozen=True, slots=True)
class Care:
    """What upkeep works with."""

    config: Config
    archive: Archive
    footage: Disk
    probing: Disk
    clock: Clock
    post: Post
    report: Callable[[EventType, dict[str, Any]], None]


class Upkeep:
    """One eternal task. `health` is the newest look, `last_step_mono_s` the instant of the wall clock's last jump."""

    def __init__(self, care: Care) -> None:
        recording = care.config.recording
        self._care = care
        self._volume = Volume(recording.root, care.config.device.state_dir)
        self._policy = Policy(
            recording.min_free_bytes, recording.min_free_percent, recording.max_bytes, recording.max_age
        )
        self.health: Health | None = None
        self.last_step_mono_s: float | None = None
        self._told: str | None = None
        self._exhausted = False
        self._low = False
        self._stalled = False
        self._well_since_mono_s: float | None = None
        self._probe_due_mono_s = 0.0
        self._tidy_due_mono_s = 0.0
        self._soon = asyncio.Event()

    def look_soon(self, error: StorageError) -> None:
        """A recording could not be looked after: find out why at once."""
        log.info("looking at the volume because of an error: %s", error)
        self._probe_due_mono_s = 0.0
        self._soon.set()

    def floor_bytes(self, room: Room) -> int:
        return self._policy.floor_bytes(room.total_bytes)

    def expected_bps(self, status: AgentStatus | None) -> int:
        """Bits a second that recording in the running, else the selected mode writes."""
        if status is None:
            return 0
        mode = self._care.config.mode_table().get(status.mode or status.selected_mode)
        if mode is None or mode.purpose is not Purpose.RECORD:
            return 0
        return mode.steps[0].profile.bitrate_bps * len(mode.cameras)

    async def first_look(self) -> None:
        """Know the volume before anything is started. Nothing is deleted yet: the archive may not be scanned."""
        self.health = await self._care.probing.run(self._volume.probe)
        self._probe_due_mono_s = self._care.clock.now().mono_s + PROBE_EVERY_S
        self._tell(self.health, 0.0)

    async def run(self) -> None:
        """Look, tidy and tell, for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            await self._look(self._care.clock.now().mono_s)

    # -- one look -----------------------------------------------------------------------------------------------------

    async def _look(self, mono_s: float) -> None:
        care = self._care
        self._tell_stall()
        if self._stalled:
            return
        probing = mono_s >= self._probe_due_mono_s
        if probing:
            self._probe_due_mono_s = mono_s + PROBE_EVERY_S
        health = await care.probing.run(self._volume.probe if probing else self._volume.check)
        if not probing and self.health is not None and health.trouble is None:
            # What a probe found counts until the next probe.
            trouble_stays = self.health.trouble in (Trouble.IO_ERROR, Trouble.DENIED)
            health = Health(
                self.health.trouble if trouble_stays else None,
                self.health.message if trouble_stays else "",
                health.room,
                self.health.sync_ms,
            )
        self.health = health
        below = health.room is not None and is_below_floor(health.room.state, self._policy)
        if health.room is not None and health.trouble in (None, Trouble.FULL, Trouble.NO_INODES):
            if below or self._exhausted or mono_s >= self._tidy_due_mono_s:
                self._tidy_due_mono_s = mono_s + TIDY_EVERY_S
                await self._tidy(health.room)
        else:
            self._exhausted = False
        self._tell(health, mono_s)

    async def _tidy(self, room: Room) -> None:
        care = self._care
        try:
            made = await care.footage.run(self._plan, room)
            for removal in made.removals:
                segment = await care.footage.run(care.archive.find, removal.path)
                if await care.footage.run(care.archive.delete, removal.path) is Deleted.DELETED and segment:
                    fields = {"camera": segment.camera, "path": removal.path, "reason": removal.reason}
                    care.report(EventType.SEGMENT_DELETED, fields)
        except StorageError as error:
            log.warning("retention could not finish: %s", error)
            return
        if made.removals:
            log.info("retention removed segments=%d bytes=%d", len(made.removals), made.freed_bytes)
            self._probe_due_mono_s = 0.0
        self._exhausted = made.exhausted
        if made.below_floor and not self._low:
            care.report(EventType.STORAGE_LOW, {"free_bytes": room.free_bytes})
        self._low = made.below_floor
        message = "less room than is to be kept free: the oldest unlocked footage goes" if made.below_floor else None
        care.post(ev.ProblemChanged("disk_low", message))

    def _plan(self, room: Room) -> RetentionPlan:
        care = self._care
        return care.archive.retention_plan(
            room.state,
            self._policy,
            care.clock.now(),
            clock_synchronized=bool(care.clock.synchronized()),
            last_step_mono_s=self.last_step_mono_s,
        )

    # -- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, health: Health, mono_s: float) -> None:
        problem = _PROBLEMS.get(health.trouble) if health.trouble else None
        message = health.message
        if problem is None and self._exhausted:
            problem = "disk_full"
            message = "the disk is full, and what is left is locked or not ours: unlock or delete footage, or make room"
        if problem is not None:
            self._well_since_mono_s = None
        elif self._told is not None:
            self._well_since_mono_s = self._well_since_mono_s or mono_s
            if mono_s - self._well_since_mono_s < RESUME_AFTER_S:
                return
        if problem != self._told:
            log.log(logging.WARNING if problem else logging.INFO, "storage problem=%s %s", problem, message)
            self._told = problem
            self._care.post(ev.StorageChanged(problem, message))

    def _tell_stall(self) -> None:
        stalled_s = max(self._care.footage.stalled_s, self._care.probing.stalled_s)
        stalled = stalled_s >= STALLED_AFTER_S
        if stalled != self._stalled:
            self._stalled = stalled
            message = f"the disk has not answered for {stalled_s:.0f} s: footage waits in memory" if stalled else None
            log.warning("disk stalled=%s", stalled)
            self._care.post(ev.StorageStalled(message))
