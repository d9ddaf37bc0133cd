"""The life of one live run: the camera program writes JPEGs to its stdout, which go to the camera's live view."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.app.cameras import Cameras
from edge_agent.app.disk import Disk
from edge_agent.app.frame_rate import FrameRate
from edge_agent.app.last_words import last_words
from edge_agent.app.strays import LiveNote
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import Now, Run
from edge_agent.ports import Clock, Post
from edge_agent.rpicam.argv import live_argv
from edge_agent.rpicam.messages import explain
from edge_agent.rpicam.process import CameraProcess, Exit, Ladder, SpawnFailed, StopFailed, spawn
from edge_agent.rpicam.source import FrameSource

LADDER = Ladder(sigint_s=1.5, sigterm_s=1.0, sigkill_s=3.0)
"""Short: a live run has no file to finish, and a recording may be waiting for the camera."""
TELL_EVERY_S = 1.0
LAST_WORDS_S = 1.0
"""How long the disk may take to give what the program said last; after that its exit code must explain its end."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every live run shares. `publish` takes a camera's picture and when it was captured.

    `state` is the disk of the state directory, where running programs are noted.
    """

    config: Config
    cameras: Cameras
    boot_id: str
    state: Disk
    clock: Clock
    post: Post
    publish: Callable[[str, bytes, Now], None]


class Showing:
    """One live run. Call `begin` once, in a task of its own; `stop` may be called at any time."""

    def __init__(self, stage: Stage, run: Run) -> None:
        self.run = run
        self._stage = stage
        self._stop_asked = asyncio.Event()
        self._told_mono_s = float("-inf")
        self._stderr_path = stage.config.device.state_dir / f"live-{run.camera}.log"
        self._note = LiveNote(stage.config.device.state_dir, run.camera)
        self._frames = 0
        self.rate = FrameRate()

    async def begin(self) -> None:
        """Spawn the program and hand its pictures on until it ends."""
        stage, run = self._stage, self.run
        argv = live_argv(
            stage.cameras.abilities.program,
            *stage.cameras.bound(run.camera),
            run.profile,
            extra_args=stage.config.rpicam.extra_args,
        )
        try:
            read_end, write_end = os.pipe()
        except OSError as error:
            self._ended(ev.Cause.SPAWN_FAILED, f"no pipe for the live program: {error.strerror}")
            return
        try:
            process = await stage.state.run(self._spawn, argv, write_end)
        except (SpawnFailed, OSError) as error:
            os.close(read_end)
            self._ended(ev.Cause.SPAWN_FAILED, str(error))
            return
        finally:
            os.close(write_end)
        source = FrameSource(read_end, self._take, stage.clock.now, lambda: None)
        try:
            await self._stay(process)
        finally:
            source.close()
            process.release()

    def _spawn(self, argv: Sequence[str], write_end: int) -> CameraProcess:
        """Start the program; without its last words where they can't be written down. Raises `SpawnFailed`."""
        try:
            self._stderr_path.unlink(missing_ok=True)
            return self._spawn_with(argv, write_end, self._stderr_path)
        except (SpawnFailed, OSError) as error:
            if isinstance(error, SpawnFailed) and error.path != str(self._stderr_path):
                raise
            log.warning("live program runs without a log: camera=%s error=%s", self.run.camera, error)
            return self._spawn_with(argv, write_end, Path(os.devnull))

    def _spawn_with(self, argv: Sequence[str], write_end: int, stderr_path: Path) -> CameraProcess:
        stage = self._stage
        return spawn(
            argv, env=stage.cameras.environment, stdout=write_end, stderr_path=stderr_path, boot_id=stage.boot_id
        )

    def stop(self) -> None:
        """Ask the program to end."""
        self._stop_asked.set()

    async def _stay(self, process: CameraProcess) -> None:
        """Tell the program's end at once: a recording may want the camera while the disk of the notes hangs."""
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(self._stop_when_asked(process), name=f"stop {self.run.run_id}")
            tasks.create_task(self._keep_noted(process), name=f"note {self.run.run_id}")
            end = await process.wait()
            stopping.cancel()
            await self._say_goodbye(end)

    async def _keep_noted(self, process: CameraProcess) -> None:
        """Note the program for as long as it lives. An agent that leaves has it ended by its closed pipe."""
        state = self._stage.state
        await state.run(self._note.write, process.identity)
        await process.wait()
        await state.run(self._note.clear)

    async def _stop_when_asked(self, process: CameraProcess) -> None:
        await self._stop_asked.wait()
        try:
            await process.stop(LADDER)
        except StopFailed as error:
            log.error("live program cannot be ended: camera=%s error=%s", self.run.camera, error)  # noqa: TRY400

    def _take(self, jpeg: bytes, captured: Now) -> None:
        self._frames += 1
        if self._stop_asked.is_set():
            return  # the camera may already be another run's
        self._stage.publish(self.run.camera, jpeg, captured)
        if captured.mono_s - self._told_mono_s < TELL_EVERY_S:
            return
        if self._told_mono_s == float("-inf"):
            self._stage.post(ev.FirstFrame(self.run.camera, self.run.run_id, captured))
        self._told_mono_s = captured.mono_s
        self._stage.post(ev.BytesSeen(self.run.camera, self.run.run_id))
        fps = self.rate.take(captured.mono_s, self._frames, captured.mono_s)
        if fps is not None:
            self._stage.post(ev.FrameRate(self.run.camera, self.run.run_id, fps))

    async def _say_goodbye(self, end: Exit) -> None:
        if self._stop_asked.is_set():
            self._ended(ev.Cause.STOPPED, "stopped")
            return
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                why = await last_words("live program", self.run.camera, end, self._stderr_path, self._stage.state)
        except TimeoutError:
            why = explain(end.returncode, [])
        self._ended(why.cause, why.sentence)

    def _ended(self, cause: ev.Cause, message: str) -> None:
        self._stage.post(ev.RunEnded(self.run.camera, self.run.run_id, cause, message))
