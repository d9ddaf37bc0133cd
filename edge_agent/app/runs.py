"""All runs of the camera program, recording and live: started, stopped, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass

from edge_agent.app.disk import Disk
from edge_agent.app.recording import OpenFootage, Recording, Studio
from edge_agent.app.showing import Showing, Stage
from edge_agent.core.model import Purpose, Run, RunRecord, Session
from edge_agent.rpicam.argv import tap_port
from edge_agent.rpicam.process import CameraProcess, adopt
from edge_agent.storage.spool import Spool, SpoolRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the spool at a start: recorders that live on, and what dead ones left."""

    living: tuple[tuple[SpoolRun, CameraProcess], ...]
    dead: tuple[SpoolRun, ...]

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return tuple(spooled.record for spooled, _ in self.living)

    @property
    def session(self) -> Session | None:
        """What the newest living recorder was started for: tells what is on where the agent's memory is lost."""
        return self.living[-1][0].record.session if self.living else None

    @property
    def newest_sequence(self) -> int:
        """The highest run sequence in the spool, 0 when it is empty."""
        runs = [*(spooled for spooled, _ in self.living), *self.dead]
        return max((spooled.record.run.sequence for spooled in runs), default=0)

    @property
    def tap_ports(self) -> dict[str, int]:
        """The loopback ports that living recorders copy to, by camera."""
        ports = {spooled.record.run.camera: tap_port(spooled.record.argv) for spooled, _ in self.living}
        return {camera: port for camera, port in ports.items() if port is not None}


async def find_runs(spool: Spool, disk: Disk, boot_id: str) -> Found:
    """Look for what an earlier agent left. Call once, before anything is started. Raises `StorageError`."""
    living: list[tuple[SpoolRun, CameraProcess]] = []
    dead: list[SpoolRun] = []
    for spooled in await disk.run(spool.runs):
        identity = spooled.record.process
        process = adopt(identity, boot_id) if identity else None
        if process is None:
            dead.append(spooled)
        else:
            living.append((spooled, process))
    return Found(tuple(living), tuple(dead))


class Runs:
    """Implements `ports.Runs`; each run is a task of `tasks`. Leaving (a cancelled group) leaves recorders running."""

    def __init__(self, studio: Studio, stage: Stage, tasks: asyncio.TaskGroup) -> None:
        self._studio = studio
        self._stage = stage
        self._tasks = tasks
        self._lives: dict[str, Recording | Showing] = {}
        self._written: Counter[str] = Counter()

    def take_over(self, found: Found) -> None:
        """Stay with the living and store what the dead left. Recorders of cameras that are not ours are ended."""
        for spooled, process in found.living:
            run = spooled.record.run
            recording = Recording(self._studio, spooled.record)
            self._live(run, recording, recording.resume(spooled, process))
            if run.camera not in {camera.id for camera in self._studio.config.camera_list()}:
                log.warning("ending the recorder of a camera that is not configured: camera=%s", run.camera)
                recording.stop()
        for spooled in found.dead:
            run = spooled.record.run
            recording = Recording(self._studio, spooled.record)
            log.warning("recovering what a dead recorder left: run=%s", run.run_id)
            self._live(run, recording, recording.recover(spooled))

    @property
    def busy(self) -> bool:
        """Whether some recording is not finished and stored yet."""
        return any(isinstance(life, Recording) for life in self._lives.values())

    def written_bytes(self, camera: str) -> int:
        """How much all recordings of a camera have written since the agent's start, those that are over included."""
        living = [life for life in self._lives.values() if isinstance(life, Recording) and life.run.camera == camera]
        return self._written[camera] + sum(life.written_bytes for life in living)

    def open_footage(self, camera: str) -> list[OpenFootage]:
        """The segments of a camera that are being written now, oldest first."""
        living = [life for life in self._lives.values() if isinstance(life, Recording) and life.run.camera == camera]
        return [life.open for life in sorted(living, key=lambda life: life.run.sequence) if life.open is not None]

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
        task.add_done_callback(lambda _: self._over(run, life))

    def _over(self, run: Run, life: Recording | Showing) -> None:
        del self._lives[run.run_id]
        if isinstance(life, Recording):
            self._written[run.camera] += life.written_bytes
