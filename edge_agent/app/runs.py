"""All runs of the camera program, recording and live: started, stopped, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace

from edge_agent.app.recording import Recording, Studio
from edge_agent.app.showing import Showing, Stage
from edge_agent.core.model import Now, Purpose, Run, RunRecord, Session
from edge_agent.rpicam.process import CameraProcess, adopt
from edge_agent.storage.spool import SpoolRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the spool at a start: recorders that live on, and what dead ones left."""

    living: tuple[tuple[SpoolRun, CameraProcess], ...]
    dead: tuple[SpoolRun, ...]

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return tuple(spooled.record for spooled, _ in self.living)


class Runs:
    """Implements `ports.Runs`; each run is a task of `tasks`. Leaving (a cancelled group) leaves recorders running."""

    def __init__(self, studio: Studio, stage: Stage, tasks: asyncio.TaskGroup) -> None:
        self._studio = studio
        self._stage = stage
        self._tasks = tasks
        self._lives: dict[str, Recording | Showing] = {}

    async def find(self) -> Found:
        """Look for what an earlier agent left. Call once, before anything is started. Raises `StorageError`."""
        studio = self._studio
        living: list[tuple[SpoolRun, CameraProcess]] = []
        dead: list[SpoolRun] = []
        for spooled in await studio.disk.run(studio.spool.runs):
            identity = spooled.record.process
            process = adopt(identity, studio.boot_id) if identity else None
            if process is None:
                dead.append(spooled)
            else:
                living.append((spooled, process))
        return Found(tuple(living), tuple(dead))

    def take_over(self, found: Found) -> None:
        """Stay with the living and store what the dead left. Recorders of cameras that are not ours are ended."""
        for spooled, process in found.living:
            run = spooled.record.run
            recording = Recording(self._studio, spooled.record)
            self._live(run, recording, recording.resume(spooled, process))
            if run.camera not in self._studio.cameras:
                log.warning("ending the recorder of a camera that is not configured: camera=%s", run.camera)
                recording.stop()
        for spooled in found.dead:
            run = spooled.record.run
            recording = Recording(self._studio, spooled.record)
            log.warning("recovering what a dead recorder left: run=%s", run.run_id)
            self._live(run, recording, recording.recover(spooled))

    # -- ports.Runs ---------------------------------------------------------------------------------------------------

    def start(self, run: Run, session: Session | None) -> None:
        if run.purpose is Purpose.RECORD and session is not None:
            record = RunRecord(run, session, (), self._studio.clock.now())
            recording = Recording(self._studio, record)
            self._live(run, recording, recording.begin())
        else:
            showing = Showing(self._stage, run)
            self._live(run, showing, showing.begin())

    def stop(self, run_id: str) -> None:
        if life := self._lives.get(run_id):
            life.stop()

    def update(self, session: Session) -> None:
        for run_id, life in self._lives.items():
            if isinstance(life, Recording):
                self._tasks.create_task(life.update(session), name=f"update {run_id}")

    def _live(self, run: Run, life: Recording | Showing, living: Coroutine[None, None, None]) -> None:
        self._lives[run.run_id] = life
        task = self._tasks.create_task(living, name=f"run {run.run_id}")
        task.add_done_callback(lambda _: self._lives.pop(run.run_id, None))


def rebased(session: Session | None, now: Now, *, same_boot: bool) -> Session | None:
    """A saved session on this boot's monotonic clock.

    After a reboot the monotonic start is worked out from the wall clock; where that lies before the start (no battery
    clock, not synchronized yet), the recording counts as just begun, because too much footage beats too little.
    """
    if session is None or session.started is None or same_boot:
        return session
    elapsed_s = max(0.0, (now.wall - session.started.wall).total_seconds())
    return replace(session, started=Now(now.mono_s - elapsed_s, session.started.wall))
