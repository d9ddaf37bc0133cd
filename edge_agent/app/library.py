"""The archive as the web room sees it: pages, files, thumbnails made on first request, and clips as they are cut."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from pathlib import Path

from edge_agent.app.children import ChildFailed, media_argv, run_child
from edge_agent.app.disk import Disk
from edge_agent.app.recording import OpenFootage
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code
from edge_agent.core.modes import unknown
from edge_agent.storage.album import newest_snapshots
from edge_agent.storage.archive import Archive, Deleted
from edge_agent.storage.errors import StorageError
from edge_agent.storage.index import Filter, Page
from edge_agent.storage.soundness import Checked, check_segment
from edge_agent.web.ports import Picture, Wanted
from edge_agent.wire.values import format_instant

CHUNK_BYTES = 256 * 1024
THUMBNAILS_AT_ONCE = 2


class Library:
    """Implements the web room's `Recordings` and `Album`. Every method is safe to cancel."""

    def __init__(
        self,
        archive: Archive,
        root: Path,
        disk: Disk,
        cameras: Sequence[str],
        open_footage: Callable[[str], list[OpenFootage]],
    ) -> None:
        self._cameras = cameras
        self._open_footage = open_footage
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
            pieces = await self.pieces(camera, start, end)
        except StorageError as error:
            return Refusal(Code.INTERNAL, str(error))
        if isinstance(pieces, Refusal):
            return pieces
        return _stream(clip_arguments("-", pieces, start, end))

    async def pieces(self, camera: str, start: datetime, end: datetime) -> list[tuple[Path, datetime]] | Refusal:
        """The files that hold a window, with their starts, oldest first, the one being written included.

        Refuses a window without footage, and one with pictures of several sizes: one file cannot hold them.
        """
        stored = await self._disk.run(self._archive.window, camera, start, end)
        written = [one for one in self._open_footage(camera) if one.started_at < end]
        if not stored and not written:
            if camera not in self._cameras:
                return Refusal(Code.UNKNOWN_CAMERA, unknown("camera", camera, self._cameras))
            return Refusal(
                Code.NOT_FOUND, f"{camera} has no footage between {format_instant(start)} and {format_instant(end)}"
            )
        sizes = {(segment.width, segment.height) for segment in stored} | {one.size for one in written}
        if len(sizes) > 1:
            told = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
            return Refusal(
                Code.OUT_OF_RANGE,
                f"{camera} recorded {told} in this window, and a file has one size: ask for a window with one of them",
            )
        pieces = [(self._root / segment.path, segment.started_at) for segment in stored]
        return pieces + [(one.path, one.started_at) for one in written]

    def recording_since(self) -> datetime | None:
        """The start of the oldest footage that is not stored yet; None when nothing is being recorded."""
        return min((one.started_at for camera in self._cameras for one in self._open_footage(camera)), default=None)

    async def _make_thumbnail(self, path: str) -> None:
        segment = path.removesuffix(".jpg") + ".mp4"
        if await self._disk.run(self._archive.find, segment) is None:
            return
        async with self._thumbnailing:
            jpeg = await run_child("thumbnail", [str(self._root / segment), "-"])
        await self._disk.run(self._archive.store_thumbnail, segment, jpeg)


def clip_arguments(output: str, pieces: Sequence[tuple[Path, datetime]], start: datetime, end: datetime) -> list[str]:
    """What the clip child is told: the files, and how far into the first and the last one the window reaches."""
    from_s = max(0.0, (start - pieces[0][1]).total_seconds())
    to_s = max(0.0, (end - pieces[-1][1]).total_seconds())
    return [output, *(str(path) for path, _ in pieces), "--from", f"{from_s:.3f}", "--to", f"{to_s:.3f}"]


async def _stream(arguments: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """What the clip child writes, as it writes it."""
    process = await asyncio.create_subprocess_exec(
        *media_argv("clip", arguments), stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
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
