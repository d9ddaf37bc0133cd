"""Looks after the recording volume: whether it is there and has room, and what has to go so that it stays so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.app.shelf import policy_of
from edge_agent.app.stores import UNREADABLE, Stores
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import EventType, Purpose
from edge_agent.core.retention import RetentionPlan, is_below_floor
from edge_agent.core.status import AgentStatus
from edge_agent.host.clock import Clock
from edge_agent.latest import Latest
from edge_agent.ports import Post
from edge_agent.storage.archive import Deleted
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.volume import Health, Room

LOOK_EVERY_S = 2.0
PROBE_EVERY_S = 30.0
"""Writing and syncing a small file shows what no figure does: a disk that takes nothing any more."""
PROBE_IN_TROUBLE_S = 5.0
"""The same while that is what is wrong, or somebody has just met trouble."""
TIDY_EVERY_S = 60.0
"""How often the archive is held against its limits. In between, at most as many segments go as were stored."""
RESUME_AFTER_S = 3.0
"""A disk has to be well for so long before recording goes on: no tight loop at the edge."""
RESUME_ROOM_S = 60.0
"""And one that was full has to have room for so long, in footage: a gap that somebody else filled opens and closes."""
SUSPECT_S = 60.0
"""How long a disk is called bad after an error that the probe does not meet."""

log = logging.getLogger(__name__)

_PROBLEMS = {
    Trouble.FULL: "disk_full",
    Trouble.NO_INODES: "disk_full",
    Trouble.READ_ONLY: "read_only",
    Trouble.DENIED: "read_only",
    Trouble.IO_ERROR: "disk_error",
    Trouble.VOLUME_MISSING: "volume_missing",
    Trouble.OTHER_VOLUME: "volume_missing",
    Trouble.IN_USE: "volume_in_use",
}
_FULL = (Trouble.FULL, Trouble.NO_INODES)


@dataclass(frozen=True, slots=True)
class Care:
    """What upkeep works with.

    `recover` stores what recorders had to leave in the spool; its argument says that the volume was unreadable.
    `leftovers` tells whether there is any.
    """

    config: Config
    stores: Stores
    clock: Clock
    status: Latest[AgentStatus]
    post: Post
    report: Callable[[EventType, dict[str, Any]], None]
    recover: Callable[[bool], Awaitable[None]]
    leftovers: Callable[[], bool]


class Upkeep:
    """One eternal task. `health` is the newest look, `last_step_mono_s` the instant of the wall clock's last jump."""

    def __init__(self, care: Care, health: Health) -> None:
        self._care = care
        self._policy = policy_of(care.config)
        self.health = health
        self.last_step_mono_s: float | None = None
        self._told: str | None = None
        self._told_message = ""
        self._unread = health.trouble in UNREADABLE
        self._found_by_probe: Health | None = None
        self._noted: StorageError | None = None
        self._suspect_until_mono_s: float | None = None
        self._exhausted = False
        self._limited = False
        self._low = False
        self._deletable_bytes = 0
        self._well_since_mono_s: float | None = None
        self._probed_mono_s = float("-inf")
        self._tidy_due_mono_s = 0.0
        self._stored = 0
        self._soon = asyncio.Event()

    def begin(self) -> None:
        """Tell what the first look found, before anything is started."""
        self._tell(self.health, self._care.clock.now().mono_s)

    def note(self, error: StorageError) -> None:
        """Take note of trouble that somebody met, and look at the disk now."""
        self._noted = error
        self._soon.set()

    def stored(self) -> None:
        """Take note that a segment was stored: where the archive is full to its limit, another one has to go."""
        self._stored += 1

    def floor_bytes(self, room: Room) -> int:
        """How much of the volume is to be kept free."""
        return self._policy.floor_bytes(room.total_bytes)

    def expected_bps(self, status: AgentStatus | None) -> int:
        """What all cameras and recording in the running, else the selected mode writes."""
        if status is None:
            return 0
        mode = self._care.config.mode_table().get(status.mode or status.selected_mode)
        if mode is None or mode.purpose is not Purpose.RECORD:
            return 0
        return mode.steps[0].profile.bitrate_bps * len(mode.cameras)

    async def run(self) -> None:
        """Look, tidy and tell, for ever."""
        while True:
            await self._look(self._care.clock.now().mono_s)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()

    # -- one look -----------------------------------------------------------------------------------------------------

    async def _look(self, mono_s: float) -> None:
        health = await self._examine(mono_s)
        own = health.trouble is Trouble.OWN_LIMIT
        if own or self._limited:
            told = f"this agent has no descriptor or memory left, recorders go on ({health.message}): restart it"
            self._care.post(ev.StorageStalled(told if own else None, "agent_exhausted"))
        self._limited = own
        if own:
            return  # that says nothing about the disk
        self.health = health
        room = health.room
        if room is not None and health.trouble in (None, *_FULL):
            below = is_below_floor(room.state, self._policy)
            if below or self._exhausted or mono_s >= self._tidy_due_mono_s:
                self._tidy_due_mono_s = mono_s + TIDY_EVERY_S
                await self._tidy(room, None)
            elif self._stored and self._policy.max_bytes is not None:
                await self._tidy(room, self._stored)
        else:
            self._exhausted = False
        back = self._tell(health, mono_s)
        probed = self._probed_mono_s == mono_s
        if back or (probed and self._told is None and self._care.leftovers()):
            await self._care.recover(self._unread)
            self._unread = False

    async def _examine(self, mono_s: float) -> Health:
        """Check the volume, or write to it where that is due. What a probe found counts until the next one."""
        volume, probing = self._care.stores.volume, self._care.stores.probing
        urgent = self._noted or self._found_by_probe or self._suspect_until_mono_s is not None
        due = mono_s - self._probed_mono_s >= (PROBE_IN_TROUBLE_S if urgent else PROBE_EVERY_S)
        # While the volume has trouble that is told, errors of others need no other explanation.
        noted = self._noted if self._told is None else None
        health = await probing.run(volume.probe if due else volume.check)
        if due:
            self._probed_mono_s = mono_s
            self._noted = None
            self._found_by_probe = health if health.trouble else None
            self._suspect(noted if health.trouble is None else None, mono_s)
        elif health.trouble is None and self._found_by_probe is not None:
            found = self._found_by_probe
            health = replace(health, trouble=found.trouble, message=found.message)
        if health.trouble is not None:
            self._clear_suspicion()
        return health if health.sync_ms is not None else replace(health, sync_ms=self.health.sync_ms)

    def _suspect(self, noted: StorageError | None, mono_s: float) -> None:
        """Call a disk bad that fails others and not the probe; recording goes on, for most of it may be well."""
        if noted is not None and noted.trouble in (Trouble.IO_ERROR, Trouble.READ_ONLY):
            if self._suspect_until_mono_s is None:
                told = f"the disk fails now and then, footage may be damaged ({noted}): check it, or replace it"
                self._care.post(ev.ProblemChanged("disk_error", told))
            self._suspect_until_mono_s = mono_s + SUSPECT_S
        elif self._suspect_until_mono_s is not None and mono_s >= self._suspect_until_mono_s:
            self._clear_suspicion()

    def _clear_suspicion(self) -> None:
        if self._suspect_until_mono_s is not None:
            self._suspect_until_mono_s = None
            self._care.post(ev.ProblemChanged("disk_error", None))

    async def _tidy(self, room: Room, limit: int | None) -> None:
        """Delete what has to go, at most `limit` segments."""
        care, archive, footage = self._care, self._care.stores.archive, self._care.stores.footage
        self._stored = 0
        try:
            made = await footage.run(self._plan, room)
            for removal in made.removals[:limit]:
                segment = await footage.run(archive.find, removal.path)
                if await footage.run(archive.delete, removal.path) is Deleted.DELETED and segment:
                    gone = {"camera": segment.camera, "path": removal.path, "uploaded": removal.uploaded}
                    care.report(EventType.SEGMENT_DELETED, gone | {"reason": removal.reason})
            usage = await footage.run(archive.usage)
        except StorageError as error:
            log.warning("retention could not finish: %s", error)
            return
        unlocked_extra_bytes = usage.extra_bytes - usage.locked_extra_bytes
        self._deletable_bytes = usage.bytes - usage.locked_bytes + unlocked_extra_bytes
        if made.removals:
            log.info("retention removed files=%d", len(made.removals[:limit]))
        if made.below_floor and made.removals:
            self._soon.set()
        self._exhausted = made.exhausted
        if made.below_floor and not self._low:
            care.report(EventType.STORAGE_LOW, {"free_bytes": room.free_bytes})
        if made.below_floor != self._low:
            self._low = made.below_floor
            told = "less room than is to be kept free: the oldest unlocked footage goes" if self._low else None
            care.post(ev.ProblemChanged("disk_low", told))

    def _plan(self, room: Room) -> RetentionPlan:
        care = self._care
        return care.stores.archive.retention_plan(
            room.state,
            self._policy,
            care.clock.now(),
            clock_synchronized=bool(care.clock.synchronized()),
            last_step_mono_s=self.last_step_mono_s,
        )

    # -- telling ------------------------------------------------------------------------------------------------------

    def _tell(self, health: Health, mono_s: float) -> bool:
        """Tell a problem that came, changed or went; True when the volume is well again."""
        problem = _PROBLEMS.get(health.trouble) if health.trouble else None
        message = health.message
        if problem is None and self._exhausted:
            problem = "disk_full"
            message = self._why_full(health.room)
        self._unread = self._unread or health.trouble in UNREADABLE
        if problem is not None:
            self._well_since_mono_s = None
        elif self._told is not None and not self._may_resume(health, mono_s):
            return False
        message = message if problem else ""
        if (problem, message) != (self._told, self._told_message):
            log.log(logging.WARNING if problem else logging.INFO, "storage problem=%s %s", problem, message)
            before, self._told, self._told_message = self._told, problem, message
            self._care.post(ev.StorageChanged(problem, message))
            return before is not None and problem is None
        return False

    def _why_full(self, room: Room | None) -> str:
        lacks_bytes = room is None or room.free_bytes < self.floor_bytes(room)
        what = "is full" if lacks_bytes else "has almost no inodes left"
        return f"the disk {what}, and what is left is locked or not ours: unlock or delete footage, or make room"

    def _may_resume(self, health: Health, mono_s: float) -> bool:
        if self._well_since_mono_s is None:
            self._well_since_mono_s = mono_s
        if self._told == "disk_full" and health.room is not None:
            needed_bytes = self.expected_bps(self._care.status.value) / 8 * RESUME_ROOM_S
            spare_bytes = health.room.free_bytes - self.floor_bytes(health.room) + self._deletable_bytes
            if spare_bytes < needed_bytes:
                return False
        return mono_s - self._well_since_mono_s >= RESUME_AFTER_S
