"""All runs of the camera program, recording and live: started, stopped, and found again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine

from edge_agent.app.found import Found
from edge_agent.app.recording import LADDER as RECORD_LADDER
from edge_agent.app.recording import OpenFootage, Recording, Studio
from edge_agent.app.showing import LADDER as LIVE_LADDER
from edge_agent.app.showing import Showing, Stage
from edge_agent.app.strays import end, live_strays, recorder_strays
from edge_agent.core.model import Purpose, Run, RunRecord, Session
from edge_agent.storage.spool import SpoolRun

log = logging.getLogger(__name__)


class Runs:
    """Implements `ports.Runs`; each run is a task of `tasks`. Leaving (a cancelled group) leaves recorders running."""

    def __init__(self, studio: Studio, stage: Stage, tasks: asyncio.TaskGroup) -> None:
        self._studio = studio
        self._stage = stage
        self._tasks = tasks
        self._lives: dict[str, Recording | Showing] = {}
        self._written: Counter[str] = Counter()
        self.leftovers = False
        """Whether some run that is over could not be stored."""

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
            self._recover(spooled)

    async def end_strays(self, found: Found) -> None:
        """End what holds our cameras and cannot be adopted; wait for live programs, which have no file to finish."""
        studio, state = self._studio, self._studio.stores.state
        cameras = [camera.id for camera in studio.config.camera_list()]
        state_dir = studio.config.device.state_dir
        await end(await state.run(live_strays, state_dir, cameras, studio.boot_id), LIVE_LADDER)
        if not studio.stores.readable and not studio.stores.away:
            return  # the disk does not answer just now: its recorders do well, and are found when it does
        adopted = [record.process for record in found.records if record.process is not None]
        recorders = await state.run(recorder_strays, studio.stores.spool.directory, studio.boot_id, adopted)
        self._tasks.create_task(end(recorders, RECORD_LADDER), name="end stray recorders")

    async def recover(self) -> None:
        """Store what ended runs had to leave in the spool, because the disk failed or was away."""
        studio = self._studio
        known = frozenset(self._lives)
        self.leftovers = False
        found = await studio.stores.find_runs(studio.boot_id, known)
        # A recorder that nobody here knows can't be adopted any more: the core has begun without it.
        for spooled, process in found.living:
            if spooled.record.run.run_id in self._lives:
                process.release()
                continue
            stray = Recording(studio, spooled.record)
            self._live(spooled.record.run, stray, stray.resume(spooled, process))
            stray.stop()
        for spooled in found.dead:
            if spooled.record.run.run_id not in self._lives:
                self._recover(spooled)

    def unattended(self, limit_s: float) -> str | None:
        """The id of a running recording that nobody has looked after for so long, None when there is none."""
        lives = [life for life in self._lives.values() if isinstance(life, Recording)]
        return next((life.run.run_id for life in lives if life.unattended_s > limit_s), None)

    def fps(self, camera: str) -> float | None:
        """How many frames a second the camera's program delivers, None while that is not known."""
        rates = [life.rate.fps for life in self._lives.values() if life.run.camera == camera]
        return rates[-1] if rates else None

    @property
    def busy(self) -> bool:
        """Whether some recording is not finished and stored yet."""
        return any(isinstance(life, Recording) for life in self._lives.values())

    def written_bytes(self, camera: str) -> int:
        """How much all recordings of a camera have written since the agent's start, those that are over included."""
        return self._written[camera] + sum(life.written_bytes for life in self._recordings(camera))

    def open_footage(self, camera: str) -> list[OpenFootage]:
        """The segments of a camera that are being written now, oldest first."""
        return [life.open for life in self._recordings(camera) if life.open is not None]

    def spooled_footage(self, camera: str) -> list[OpenFootage]:
        """The same, and before them what is finished and not stored yet."""
        lives = self._recordings(camera)
        return [one for life in lives for one in (*life.waiting, life.open) if one is not None]

    def _recordings(self, camera: str) -> list[Recording]:
        """The recordings of a camera that are not stored yet, oldest first."""
        living = [life for life in self._lives.values() if isinstance(life, Recording) and life.run.camera == camera]
        return sorted(living, key=lambda life: life.run.sequence)

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

    def _recover(self, spooled: SpoolRun) -> None:
        run = spooled.record.run
        recording = Recording(self._studio, spooled.record)
        log.warning("recovering what a dead recorder left: run=%s", run.run_id)
        self._live(run, recording, recording.recover(spooled))

    def _live(self, run: Run, life: Recording | Showing, living: Coroutine[None, None, None]) -> None:
        self._lives[run.run_id] = life
        task = self._tasks.create_task(living, name=f"run {run.run_id}")
        task.add_done_callback(lambda _: self._over(run, life))

    def _over(self, run: Run, life: Recording | Showing) -> None:
        del self._lives[run.run_id]
        if isinstance(life, Recording):
            self._written[run.camera] += life.written_bytes
            self.leftovers = self.leftovers or life.unstored
