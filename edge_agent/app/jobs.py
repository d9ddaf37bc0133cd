"""What commands ask of the outside: snapshots, locks, clips, and the comparison picture. Implements `ports.Jobs`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_agent.app.library import Library, left_out
from edge_agent.app.shelf import policy_of
from edge_agent.app.stores import Stores
from edge_agent.children import ChildFailed, run_child
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.commands import Clip, Command, Lock, Refusal, Snapshot, Unlock
from edge_agent.core.model import Code, EventType
from edge_agent.core.retention import lock_quota_bytes
from edge_agent.core.status import AgentStatus
from edge_agent.host.clock import Clock
from edge_agent.latest import Frame, Latest
from edge_agent.ports import Post
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.index import Filter
from edge_agent.storage.locks import LockWindow
from edge_agent.web.live import LiveView
from edge_agent.wire.locking import locked_answer, unlocked_answer
from edge_agent.wire.values import counted

FRAME_PATIENCE_S = 12.0
"""A snapshot of an idle camera waits for the camera program to start, at the longest as long as a start command."""
NEWEST = 10
"""Among so many of a camera's newest segments is that of a sample that has just ended."""

log = logging.getLogger(__name__)

Report = Callable[[EventType, dict[str, Any]], None]


class JobFailed(Exception):
    """The job cannot be done; `code` and the message go into the result."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Bench:
    """What jobs work with. `publish_snapshot` gets a camera and its JPEG."""

    views: Mapping[str, LiveView]
    stores: Stores
    library: Library
    config: Config
    clock: Clock
    status: Latest[AgentStatus]
    report: Report
    publish_snapshot: Callable[[str, bytes], None]
    post: Post


class Jobs:
    """Each job is a task of `tasks` and ends in a `JobDone` event."""

    def __init__(self, bench: Bench, tasks: asyncio.TaskGroup) -> None:
        self._bench = bench
        self._tasks = tasks

    def do(self, command: Command) -> None:
        self._tasks.create_task(self._do(command), name=f"{command.verb} {command.id}")

    def compare(self, cameras: tuple[str, ...], run_ids: frozenset[str]) -> None:
        self._tasks.create_task(self._compare(cameras, run_ids), name="comparison picture")

    async def _do(self, command: Command) -> None:
        try:
            match command.body:
                case Snapshot(camera):
                    code, message, data = await self._snapshot(camera)
                case Lock():
                    code, message, data = await self._lock(command.body)
                case Unlock(label, start, end):
                    code, message, data = await self._unlock(label, start, end)
                case Clip(camera, start, end):
                    code, message, data = await self._clip(camera, start, end)
                case _:
                    code, message, data = Code.INTERNAL, f"no job for {command.verb}", {}
        except JobFailed as failure:
            code, message, data = failure.code, str(failure), {}
        except StorageError as error:
            code, message, data = _code_of(error), str(error), {}
        self._bench.post(ev.JobDone(command.id, code, message, data))

    # -- snapshots ----------------------------------------------------------------------------------------------------

    async def _snapshot(self, camera: str | None) -> tuple[Code, str, dict[str, Any]]:
        cameras = [camera] if camera else list(self._bench.views)
        found: dict[str, Frame] = {}
        async with asyncio.TaskGroup() as tasks:
            for name in cameras:
                tasks.create_task(self._fresh(name, found), name=f"frame of {name}")
        snapshots = {}
        for name, frame in sorted(found.items()):
            # The picture is shown even where it cannot be kept.
            self._bench.publish_snapshot(name, frame.jpeg)
            path = await self._store_picture(name, frame.captured_at, frame.jpeg)
            snapshots[name] = {"path": str(path), "url": f"/recordings/{path}", "bytes": len(frame.jpeg)}
            self._bench.report(EventType.SNAPSHOT_TAKEN, {"camera": name, "path": str(path)})
        missing = [name for name in cameras if name not in found]
        data = {"snapshots": snapshots}
        if not missing:
            return Code.OK, f"one picture of {', '.join(cameras)}", data
        told = f"no frames from {', '.join(missing)} within {FRAME_PATIENCE_S:.0f} s: look at its state and its cable"
        return (Code.PARTIAL if found else Code.NO_FRAMES), told, data

    async def _store_picture(self, name: str, at: datetime, jpeg: bytes) -> str:
        stores = self._bench.stores
        await stores.footage.run(stores.volume.demand)
        return await stores.footage.run(stores.archive.store_snapshot, name, at, jpeg, dated=self._dated)

    @property
    def _dated(self) -> bool:
        """Whether the wall clock may be right."""
        return self._bench.clock.synchronized() is not False

    async def _fresh(self, camera: str, found: dict[str, Frame]) -> None:
        try:
            found[camera] = await self._bench.views[camera].fresh(FRAME_PATIENCE_S)
        except TimeoutError:
            log.warning("no frame for a snapshot: camera=%s", camera)

    # -- locks --------------------------------------------------------------------------------------------------------

    async def _lock(self, body: Lock) -> tuple[Code, str, dict[str, Any]]:
        bench = self._bench
        now = bench.clock.now().wall
        start, end = body.window(now)
        since = bench.library.recording_since()
        health = await bench.stores.footage.run(bench.stores.volume.check)
        if health.room is None:
            raise JobFailed(Code.INTERNAL, health.message)
        policy, percent = policy_of(bench.config), bench.config.recording.lock_quota_percent
        quota_bytes = lock_quota_bytes(health.room.state, policy, percent)
        window = LockWindow(start, end, body.label or "", quota_bytes, now)
        outcome = await bench.stores.footage.run(bench.stores.archive.lock, window, since)
        if outcome.code is Code.LOCK_QUOTA:
            told = (
                f"locks would take {outcome.locked_bytes} bytes and may take {quota_bytes} "
                f"({percent:g} % of what footage may take): unlock something first"
            )
            raise JobFailed(Code.LOCK_QUOTA, told)
        if outcome.code is not Code.OK:
            raise JobFailed(outcome.code, "no footage lies in this window: look at the list of recordings")
        for segment in outcome.segments:
            bench.report(EventType.SEGMENT_LOCKED, {"camera": segment.camera, "path": segment.path})
        told, data = locked_answer(body, now, outcome.segments, already=outcome.already, pending=outcome.pending)
        return Code.OK, told, data

    async def _unlock(
        self, label: str | None, start: datetime | None, end: datetime | None
    ) -> tuple[Code, str, dict[str, Any]]:
        stores = self._bench.stores
        touched = await stores.footage.run(stores.archive.unlock, label, start, end)
        return Code.OK, *unlocked_answer(touched)

    # -- clips and the comparison -------------------------------------------------------------------------------------

    async def _clip(self, camera: str, start: datetime, end: datetime) -> tuple[Code, str, dict[str, Any]]:
        bench = self._bench
        stores = bench.stores
        reel = await bench.library.reel(camera, start, end)
        if isinstance(reel, Refusal):
            raise JobFailed(reel.code, reel.message)
        with closing(reel):
            await stores.footage.run(stores.volume.demand)
            written = await stores.footage.run(stores.archive.new_clip)
            try:
                done = await run_child("media.clip", reel.arguments(str(written)), descriptors=reel.descriptors)
            except ChildFailed as error:
                raise JobFailed(Code.INTERNAL, str(error)) from error
        store = stores.archive.store_clip
        path = await stores.footage.run(store, written, camera, start, end, dated=self._dated)
        bench.report(EventType.CLIP_READY, {"camera": camera, "path": path, "url": f"/recordings/{path}"})
        unreadable = len(left_out(done))
        data = {"path": path, "url": f"/recordings/{path}", "unreadable": unreadable}
        without = f", without {counted(unreadable, 'file')} that cannot be read" if unreadable else ""
        return Code.OK, f"a clip of {camera} at /recordings/{path}{without}", data

    async def _compare(self, cameras: tuple[str, ...], run_ids: frozenset[str]) -> None:
        """One side-by-side picture of what the cameras recorded in these runs, stored among the snapshots."""
        bench = self._bench
        sources = []
        try:
            for camera in cameras:
                newest = await bench.stores.footage.run(bench.stores.archive.page, Filter(camera=camera), NEWEST)
                sources += [segment for segment in newest.segments if segment.run_id in run_ids][:1]
            if len(sources) < len(cameras):
                told = ", ".join(one.camera for one in sources) or "no camera"
                log.warning("no comparison picture: only %s recorded", told)
                return
            jpeg = await run_child(
                "media.compare", ["-", *(f"{one.camera}={bench.config.recording.root / one.path}" for one in sources)]
            )
            path = await self._store_picture("comparison", bench.clock.now().wall, jpeg)
        except (ChildFailed, StorageError) as error:
            log.warning("no comparison picture: %s", error)
            return
        bench.report(EventType.SNAPSHOT_TAKEN, {"camera": None, "cameras": list(cameras), "path": str(path)})


def _code_of(error: StorageError) -> Code:
    if error.trouble in (Trouble.FULL, Trouble.NO_INODES):
        return Code.DISK_FULL
    return Code.READ_ONLY if error.trouble is Trouble.READ_ONLY else Code.INTERNAL
