"""The archive as the web room sees it: pages, files, thumbnails made on first request, and clips as they are cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from pathlib import Path

from edge_agent.app.disk import Disk
from edge_agent.app.recording import OpenFootage
from edge_agent.children import ChildFailed, child_argv, run_child
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code
from edge_agent.core.modes import unknown
from edge_agent.storage.album import newest_snapshots
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.errors import StorageError, storage_errors
from edge_agent.storage.index import Filter, Page
from edge_agent.storage.soundness import Checked, check_segment
from edge_agent.storage.tree import open_regular
from edge_agent.web.ports import Picture, Wanted
from edge_agent.wire.values import format_instant

CHUNK_BYTES = 256 * 1024
THUMBNAILS_AT_ONCE = 2
HELD = 100
"""Files of a clip that are held open for it, the oldest: those that retention may take meanwhile."""


class Reel:
    """The files of a clip from `start` to `end`, in order. Those that are held can be read whatever becomes of them.

    A child gets `descriptors`; `close` when it has them.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self.pieces: list[tuple[Path, datetime]] = []
        """Each file's path, for a held one that of its descriptor, and the instant of its first picture."""
        self.descriptors: list[int] = []
        self._window = start, end

    def add(self, path: Path, descriptor: int | None, started_at: datetime) -> None:
        """Put another file at the end; a descriptor belongs to the reel from now on."""
        if descriptor is not None:
            self.descriptors.append(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}")
        self.pieces.append((path, started_at))

    def arguments(self, output: str) -> list[str]:
        """What the clip child is told."""
        return clip_arguments(output, self.pieces, *self._window)

    def close(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __del__(self) -> None:
        self.close()  # a clip whose asker went away before its first byte is begun by nobody


class Library:
    """Implements the web room's `Recordings` and `Album`. Every method is safe to cancel."""

    def __init__(
        self,
        archive: Archive,
        root: Path,
        disk: Disk,
        cameras: Sequence[str],
        spooled_footage: Callable[[str], list[OpenFootage]],
    ) -> None:
        self._cameras = cameras
        self._spooled_footage = spooled_footage
        self._archive = archive
        self._root = root
        self._disk = disk
        self._thumbnailing = asyncio.Semaphore(THUMBNAILS_AT_ONCE)

    async def page(self, wanted: Wanted, limit: int, cursor: str | None) -> Page | Refusal:
        chosen = Filter(wanted.camera, wanted.mode, wanted.start, wanted.end, wanted.locked, wanted.label)
        try:
            return await self._disk.run(self._archive.page, chosen, limit, cursor)
        except ValueError:
            return Refusal(Code.OUT_OF_RANGE, "this cursor is of no page: begin again without one")
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))

    async def open(self, path: str) -> int | Refusal:
        try:
            descriptor = await self._disk.run(self._archive.open, path)
            if descriptor is None and path.endswith(".jpg"):
                await self._make_thumbnail(path)
                descriptor = await self._disk.run(self._archive.open, path)
        except (StorageError, ChildFailed) as error:
            return Refusal(Code.INTERNAL, str(error))
        if descriptor is None:
            return Refusal(Code.NOT_FOUND, f"there is no recording {path[:120]!r}")
        return descriptor

    async def snapshots(self, limit: int) -> Sequence[Picture] | Refusal:
        try:
            found = await self._disk.run(newest_snapshots, self._root, limit)
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))
        return [Picture(one.path, one.camera, one.taken_at, one.size_bytes) for one in found]

    async def delete(self, path: str) -> Refusal | None:
        try:
            deleted = await self._disk.run(self._archive.delete, path)
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))
        match deleted:
            case Deleted.DELETED:
                return None
            case Deleted.LOCKED:
                return Refusal(Code.FORBIDDEN, f"{path} is locked: unlock it first")
            case Deleted.NOT_FOUND:
                return Refusal(Code.NOT_FOUND, f"there is no recording {path[:120]!r}")

    async def verify(self, path: str) -> Checked | Refusal:
        try:
            known = await self._disk.run(self._archive.find, path)
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))
        if known is None:
            return Refusal(Code.NOT_FOUND, f"there is no recording {path[:120]!r}")
        # Beside the disk's own thread: recordings wait for that one to sync, and nobody for this.
        return await asyncio.to_thread(check_segment, self._root, path)

    async def clip(self, camera: str, start: datetime, end: datetime) -> AsyncGenerator[bytes, None] | Refusal:
        try:
            reel = await self.reel(camera, start, end)
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))
        return reel if isinstance(reel, Refusal) else _stream(reel)

    async def reel(self, camera: str, start: datetime, end: datetime) -> Reel | Refusal:
        """The files that hold a window, the one being written included. Close it. Raises `StorageError`.

        Refuses a window without footage, and one with pictures of several sizes: one file cannot hold them.
        """
        spooled = [one for one in self._spooled_footage(camera) if one.started_at < end]
        # In one call, so that nothing is stored or deleted between what is found and what is opened.
        reel, sizes = await self._disk.run(self._load, camera, start, end, spooled)
        if reel.pieces and len(sizes) == 1:
            return reel
        reel.close()
        if not reel.pieces:
            if camera not in self._cameras:
                return Refusal(Code.UNKNOWN_CAMERA, unknown("camera", camera, self._cameras))
            return Refusal(
                Code.NOT_FOUND, f"{camera} has no footage between {format_instant(start)} and {format_instant(end)}"
            )
        told = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
        return Refusal(
            Code.OUT_OF_RANGE,
            f"{camera} recorded {told} in this window, and a file has one size: ask for a window with one of them",
        )

    def _load(
        self, camera: str, start: datetime, end: datetime, spooled: Sequence[OpenFootage]
    ) -> tuple[Reel, set[tuple[int, int]]]:
        """The reel, and the sizes of its pictures. What was stored since `spooled` was seen is found in the archive."""
        reel, sizes = Reel(start, end), set()
        try:
            for segment in self._archive.window(camera, start, end):
                held = self._archive.open(segment.path) if len(reel.pieces) < HELD else None
                reel.add(self._root / segment.path, held, segment.started_at)
                sizes.add((segment.width, segment.height))
            for one in spooled:
                with storage_errors("open", one.path), contextlib.suppress(FileNotFoundError):
                    reel.add(one.path, open_regular(one.path), one.started_at)
                    sizes.add(one.size)
        except StorageError:
            reel.close()
            raise
        return reel, sizes

    def recording_since(self) -> datetime | None:
        """The start of the oldest footage that is not stored yet; None when nothing is being recorded."""
        return min((one.started_at for camera in self._cameras for one in self._spooled_footage(camera)), default=None)

    async def _make_thumbnail(self, path: str) -> None:
        segment = path.removesuffix(".jpg") + ".mp4"
        if await self._disk.run(self._archive.find, segment) is None:
            return
        async with self._thumbnailing:
            jpeg = await run_child("media.thumbnail", [str(self._root / segment), "-"])
        await self._disk.run(self._archive.store_thumbnail, segment, jpeg)


def clip_arguments(output: str, pieces: Sequence[tuple[Path, datetime]], start: datetime, end: datetime) -> list[str]:
    """What the clip child is told: the files, and how far into the first and the last one the window reaches."""
    from_s = max(0.0, (start - pieces[0][1]).total_seconds())
    to_s = max(0.0, (end - pieces[-1][1]).total_seconds())
    return [output, *(str(path) for path, _ in pieces), "--from", f"{from_s:.3f}", "--to", f"{to_s:.3f}"]


def left_out(told: bytes) -> list[str]:
    """The files without a picture, which the clip child had to leave out, from what it told at its end."""
    unreadable: list[str] = json.loads(told)["unreadable"]
    return unreadable


async def _stream(reel: Reel) -> AsyncGenerator[bytes, None]:
    """What the clip child writes, as it writes it."""
    with contextlib.closing(reel):
        process = await asyncio.create_subprocess_exec(
            *child_argv("media.clip", reel.arguments("-")),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            pass_fds=reel.descriptors,
        )
    try:
        if process.stdout is not None:
            while chunk := await process.stdout.read(CHUNK_BYTES):
                yield chunk
        if await process.wait():
            raise OSError(f"the clip could not be finished: exit code {process.returncode}")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
