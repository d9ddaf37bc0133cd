"""The life of one recording run: from the spawn or the adoption of its process until all it wrote is stored.

The recorder needs nothing from here: this looks at its directory, syncs what it has written, moves finished segments
into the archive and tells the core what it sees.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent.app.cameras import Cameras
from edge_agent.app.frame_rate import FrameRate
from edge_agent.app.last_words import last_words
from edge_agent.app.stores import Stores
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import RunRecord, Segment, Session
from edge_agent.core.segments import segment_path, start_instant
from edge_agent.ports import Clock, Post
from edge_agent.rpicam.argv import record_argv
from edge_agent.rpicam.messages import TimeoutWatch
from edge_agent.rpicam.process import (
    CameraProcess,
    Exit,
    Ladder,
    SpawnFailed,
    StopFailed,
    spawn,
)
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.spool import SpooledSegment, SpoolRun

LOOK_WHILE_STARTING_S = 0.1
"""How exactly a recording's start is dated."""
LOOK_S = 0.5
SYNC_EVERY_S = 1.0
"""With fragments of 1 s, the second half of the 2 s that a power cut may cost."""
LADDER = Ladder(sigint_s=8.0, sigterm_s=2.0, sigkill_s=3.0)
"""In 13 s at the worst, so that a stop command is answered within its 20 s."""
LADDER_WITHOUT_FRAMES = Ladder(sigint_s=0.0, sigterm_s=2.0, sigkill_s=3.0)
"""rpicam-vid looks at SIGINT between two frames only."""
LADDER_BEFORE_FRAMES = Ladder(sigint_s=3.0, sigterm_s=2.0, sigkill_s=3.0)
"""There is no footage to be finished yet, and maybe there never will be."""
QUIET_S = 5.0
QUIET_LOOKS = 6
"""A recorder that has written nothing for so long, as so many looks agree, has no frames: they come once a second."""

log = logging.getLogger(__name__)

_CAUSES = {
    Trouble.FULL: ev.Cause.DISK_FULL,
    Trouble.NO_INODES: ev.Cause.DISK_FULL,
}


@dataclass(frozen=True, slots=True)
class Studio:
    """What every recording shares. `tap_ports` are the loopback ports that recorders copy to, by camera."""

    config: Config
    cameras: Cameras
    tap_ports: Mapping[str, int]
    boot_id: str
    stores: Stores
    clock: Clock
    clock_synchronized: Callable[[], bool | None]
    post: Post
    on_storage_error: Callable[[StorageError], None]
    on_stored: Callable[[], None]


@dataclass(frozen=True, slots=True)
class OpenFootage:
    """A segment in the spool, mostly the one that is being written now: its whole fragments can be read."""

    index: int
    path: Path
    started_at: datetime
    size: tuple[int, int]


class Recording:
    """One recording run. Call `begin` or `resume` once, in a task of its own; `stop` may be called at any time."""

    def __init__(self, studio: Studio, record: RunRecord) -> None:
        self.run = record.run
        self._record = record
        self._studio = studio
        self.open: OpenFootage | None = None
        self.waiting: tuple[OpenFootage, ...] = ()
        """Finished segments that were not stored yet at the last look."""
        self._spooled: SpoolRun | None = None
        self._stop_asked = asyncio.Event()
        self._timeouts = TimeoutWatch()
        self._stderr_offset = 0
        self._seen_bytes = 0
        self._synced_mono_s = 0.0
        self._started = False
        self._broken_disk = False
        self._looked_mono_s: float | None = None
        self._grew_mono_s = 0.0
        self._quiet_looks = 0
        self.rate = FrameRate()
        self.unstored = False
        """Whether footage had to stay in the spool when the run was over."""

    @property
    def written_bytes(self) -> int:
        """What the recorder has written in this agent's time."""
        return self._seen_bytes

    @property
    def unattended_s(self) -> float:
        """For how long nobody has looked at what the living recorder writes, in seconds."""
        looked = self._looked_mono_s
        return 0.0 if looked is None else self._studio.clock.now().mono_s - looked

    # -- the whole life -----------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Spawn the recorder and stay with it until everything is stored."""
        studio, run = self._studio, self.run
        try:
            spooled = self._spooled = await studio.stores.footage.run(self._create)
        except StorageError as error:
            studio.on_storage_error(error)
            self._ended(_CAUSES.get(error.trouble, ev.Cause.OUTPUT_FAILED), str(error))
            studio.post(ev.RunClosed(run.run_id))
            return
        argv = self._argv(spooled)
        try:
            process = await studio.stores.footage.run(
                spawn,
                argv,
                env=studio.cameras.environment,
                stdout=None,
                stderr_path=spooled.stderr_path,
                boot_id=studio.boot_id,
            )
        except SpawnFailed as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._ended(ev.Cause.DISK_FULL if full else ev.Cause.SPAWN_FAILED, str(error))
        else:
            self._record = replace(self._record, argv=tuple(argv), process=process.identity)
            await self._stay(process)
        await self._store_the_rest()

    async def resume(self, spooled: SpoolRun, process: CameraProcess) -> None:
        """Stay with a recorder that an earlier agent spawned."""
        self._spooled = spooled
        self._started = spooled.record.first_frame is not None
        await self._stay(process)
        await self._store_the_rest()

    async def recover(self, spooled: SpoolRun) -> None:
        """Store what a recorder left that has ended while no agent looked."""
        self._spooled = spooled
        await self._store_the_rest()

    def stop(self) -> None:
        """Ask the recorder to finish its files."""
        self._stop_asked.set()

    async def update(self, session: Session) -> None:
        """Write a changed session into the run's record."""
        if self._spooled is not None:
            await self._change(session=session)

    # -- while it runs ------------------------------------------------------------------------------------------------

    async def _stay(self, process: CameraProcess) -> None:
        self._looked_mono_s = self._grew_mono_s = self._studio.clock.now().mono_s
        try:
            async with asyncio.TaskGroup() as tasks:
                # Not before the rest: a disk that hangs must not keep the recorder from being stopped.
                tasks.create_task(self._change(), name=f"note {self.run.run_id}")
                stopping = tasks.create_task(self._stop_when_asked(process), name=f"stop {self.run.run_id}")
                watching = tasks.create_task(self._watch(process), name=f"watch {self.run.run_id}")
                end = await process.wait()
                stopping.cancel()
                watching.cancel()
        finally:
            self._looked_mono_s = None
            process.release()
        await self._say_goodbye(end)

    async def _stop_when_asked(self, process: CameraProcess) -> None:
        await self._stop_asked.wait()
        await self._stop(process, self._ladder())

    def _ladder(self) -> Ladder:
        """How to end the recorder; several looks have to agree that it is quiet: one alone may wait for the disk."""
        quiet_s = (self._looked_mono_s or 0.0) - self._grew_mono_s
        if self._quiet_looks >= QUIET_LOOKS and quiet_s >= QUIET_S:
            return LADDER_WITHOUT_FRAMES
        return LADDER if self._seen_bytes else LADDER_BEFORE_FRAMES

    async def _stop(self, process: CameraProcess, ladder: Ladder) -> None:
        try:
            await process.stop(ladder)
        except StopFailed as error:
            log.error("recorder cannot be ended: camera=%s error=%s", self.run.camera, error)  # noqa: TRY400

    async def _watch(self, process: CameraProcess) -> None:
        while True:
            self._looked_mono_s = self._studio.clock.now().mono_s
            try:
                await self._look_and_sync()
                self._broken_disk = False
            except StorageError as error:
                if not self._broken_disk:
                    log.error("footage cannot be looked after: camera=%s error=%s", self.run.camera, error)  # noqa: TRY400
                self._broken_disk = True
                self._studio.on_storage_error(error)
            if await self._hangs() and not self._stop_asked.is_set():
                await self._stop(process, LADDER_WITHOUT_FRAMES)
            await asyncio.sleep(LOOK_S if self._seen_bytes else LOOK_WHILE_STARTING_S)

    async def _look_and_sync(self) -> None:
        studio, spooled = self._studio, self._the_spooled()
        now = studio.clock.now()
        look = await studio.stores.footage.run(spooled.look, now)
        if look.first_frame_seen and not self._started:
            self._started = True
            await self._change(first_frame=now)
            studio.post(ev.FirstFrame(self.run.camera, self.run.run_id, now))
        self._quiet_looks += 1
        if look.bytes_total > self._seen_bytes:
            self._seen_bytes, self._grew_mono_s, self._quiet_looks = look.bytes_total, now.mono_s, 0
            studio.post(ev.BytesSeen(self.run.camera, self.run.run_id))
        self.waiting = tuple(self._footage(one) for one in look.closed)
        if look.open is not None and (self.open is None or look.open.index != self.open.index):
            self.open = self._footage(look.open)
            name = str(segment_path(self.run.camera, self.run.profile, self.open.started_at))
            studio.post(ev.SegmentOpened(self.run.camera, self.run.run_id, name))
        if look.bytes_total and now.mono_s - self._synced_mono_s >= SYNC_EVERY_S:
            self._synced_mono_s = now.mono_s
            await self._sync(spooled)
        await self._commit_all(look.closed)

    def _footage(self, spooled: SpooledSegment) -> OpenFootage:
        first = self._record.first_frame or self._record.spawned
        started_at = start_instant(first.wall, self._the_spooled().offset_s(spooled))
        size = (self.run.profile.width, self.run.profile.height)
        return OpenFootage(spooled.index, spooled.path, started_at, size)

    async def _sync(self, spooled: SpoolRun) -> None:
        studio, run = self._studio, self.run
        synced = await studio.stores.footage.run(spooled.sync_open)
        first = self._record.first_frame
        if first is not None and synced.verified_s > 0:
            until = start_instant(first.wall, synced.verified_s)
            studio.post(ev.FootageVerified(run.camera, run.run_id, until))
        fps = self.rate.take(studio.clock.now().mono_s, synced.frames, synced.media_s)
        if fps is not None:
            studio.post(ev.FrameRate(run.camera, run.run_id, fps))

    async def _hangs(self) -> bool:
        """Whether the program is caught in its loop of device timeouts: told by its stderr, sooner than by silence."""
        chunk = await self._studio.stores.footage.run(_read_on, self._the_spooled().stderr_path, self._stderr_offset)
        self._stderr_offset += len(chunk)
        return self._timeouts.feed(chunk, self._studio.clock.now().mono_s)

    # -- when it is over ----------------------------------------------------------------------------------------------

    async def _say_goodbye(self, end: Exit) -> None:
        if self._stop_asked.is_set():
            self._ended(ev.Cause.STOPPED, "stopped")
            return
        disk, stderr_path = self._studio.stores.footage, self._the_spooled().stderr_path
        why = await last_words("recorder", self.run.camera, end, stderr_path, disk)
        self._ended(why.cause, why.sentence)

    def _ended(self, cause: ev.Cause, message: str) -> None:
        self._studio.post(ev.RunEnded(self.run.camera, self.run.run_id, cause, message))

    async def _store_the_rest(self) -> None:
        studio, spooled = self._studio, self._the_spooled()
        try:
            look = await studio.stores.footage.run(spooled.look, studio.clock.now(), finished=True)
            await self._commit_all(look.closed)
            await studio.stores.footage.run(spooled.remove)
        except StorageError as error:
            # It is stored when the disk is well again, or at the agent's next start.
            self.unstored = True
            spooled.close()
            log.error("footage stays in the spool: run=%s error=%s", self.run.run_id, error)  # noqa: TRY400
            studio.on_storage_error(error)
        studio.post(ev.RunClosed(self.run.run_id))

    async def _commit_all(self, closed: Sequence[SpooledSegment]) -> None:
        """Store each of these; one that cannot be stored does not keep back the others. Raises `StorageError`."""
        failed: StorageError | None = None
        for segment in closed:
            try:
                await self._commit(segment)
            except StorageError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def _commit(self, spooled: SpooledSegment) -> None:
        """Store a segment and tell of it. A cancelled caller stops neither: nobody else would tell of it."""
        studio = self._studio
        storing = asyncio.wrap_future(
            studio.stores.footage.submit(
                studio.stores.archive.commit,
                self._the_spooled(),
                spooled,
                clock_synchronized=studio.clock_synchronized(),
            )
        )
        storing.add_done_callback(self._tell)
        await asyncio.shield(storing)

    def _tell(self, storing: asyncio.Future[Segment | None]) -> None:
        if storing.exception() is not None or (segment := storing.result()) is None:
            return
        log.info(
            "segment stored path=%s duration_s=%.2f bytes=%d", segment.path, segment.duration_s, segment.size_bytes
        )
        self._studio.post(ev.SegmentStored(segment))
        self._studio.on_stored()

    async def _change(self, **fields: Any) -> None:
        """Change the run's record: in memory at once, so that no change is lost to another one, then on disk."""
        self._record = replace(self._record, **fields)
        spooled = self._the_spooled()
        try:
            await self._studio.stores.footage.run(spooled.save, self._record)
        except StorageError as error:
            # The recording matters more than its record: recovery makes one up from the files.
            log.warning("run record not written: run=%s error=%s", self.run.run_id, error)
            self._studio.on_storage_error(error)

    def _create(self) -> SpoolRun:
        """Make the run's directory, if the right volume is there: a missing one must not be made up on another disk."""
        self._studio.stores.volume.demand()
        return self._studio.stores.spool.create(self._record)

    # -- names --------------------------------------------------------------------------------------------------------

    def _argv(self, spooled: SpoolRun) -> list[str]:
        studio, run = self._studio, self.run
        return record_argv(
            studio.cameras.abilities.program,
            *studio.cameras.bound(run.camera),
            run.profile,
            segment_s=studio.config.recording.segment_s,
            intra_s=studio.config.recording.intra_s,
            tap_port=studio.tap_ports[run.camera],
            segment_pattern=spooled.segment_pattern,
            list_path=os.fspath(spooled.list_path),
            abilities=studio.cameras.abilities,
            extra_args=studio.config.rpicam.extra_args,
        )

    def _the_spooled(self) -> SpoolRun:
        if self._spooled is None:
            raise RuntimeError(f"run {self.run.run_id} has no directory yet")
        return self._spooled


def _read_on(path: Path, offset: int) -> bytes:
    """What a file has grown by, up to 64 KiB; nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(65536)
    except OSError:
        return b""
