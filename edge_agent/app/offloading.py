"""The off-load: locked footage and clips are sent to a store by a child, one after another, whenever that may be.

What is to be sent is looked up each time, never remembered: it is what has no `.uploaded` mark. A failure ends the
child; the next one is started later each time and goes on where the store says that the last one stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.app.stores import Stores
from edge_agent.children import child_argv
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.model import EventType
from edge_agent.core.offload import parse_hours, retry_delay_s
from edge_agent.offload.orders import Destination, Order, Progress, Refused, Stored, Unreadable, line_of, read_told
from edge_agent.ports import Clock, Post
from edge_agent.storage.errors import StorageError
from edge_agent.storage.uploads import Backlog, Footage
from edge_agent.wire.values import format_instant

LOOK_EVERY_S = 5.0
"""How soon what was locked begins to be sent, and how soon sending ends with the hours for it."""
LOOK_AT = 16
"""How much of what waits is looked up at once; only the first that can be read is sent before the next look."""
SILENT_S = 180.0
"""A child that says nothing for so long hangs: the store may be silent for 60 s, and 16 KiB take 16 s at 8 kb/s."""
TRIAL_S = 30.0
"""Patience of somebody who looks on."""
PROBLEM = "offload_failed"

log = logging.getLogger(__name__)


class OffloadFailed(Exception):
    """Nothing can be sent now, for the reason in the message."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the off-load works with."""

    config: Config
    stores: Stores
    clock: Clock
    post: Post
    report: Callable[[EventType, dict[str, Any]], None]


def begin(desk: Desk, tasks: asyncio.TaskGroup) -> Callable[[], dict[str, object]] | None:
    """Send for ever, in a task; what comes back tells how far it came. None where nothing is to be sent."""
    if not desk.config.offload.enabled:
        return None
    offloading = Offloading(desk)
    tasks.create_task(offloading.run(), name="off-load")
    return offloading.vitals


class Offloading:
    """One eternal task, `run`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settings = desk.config.offload
        self._hours = parse_hours(self._settings.hours_utc) if self._settings.hours_utc else None
        self._prefix = prefix_of(desk.config)
        self._left: Backlog | None = None
        self._sending: Footage | None = None
        self._sent_count = 0
        self._sent_bytes = 0
        self._failures = 0
        self._last_error: str | None = None
        self._unreadable: set[str] = set()
        """What could not be read: tried again when nothing else is left."""

    def vitals(self) -> dict[str, object]:
        """How far it came, under the keys of the telemetry document."""
        left, sending = self._left, self._sending
        return {
            "pending_count": left and left.count,
            "pending_bytes": left and left.size_bytes,
            "sent_count": self._sent_count,
            "sent_bytes": self._sent_bytes,
            "sending": sending and sending.path,
            "last_error": self._last_error,
        }

    async def run(self) -> None:
        """Look and send, for ever."""
        while True:
            delay_s = LOOK_EVERY_S
            try:
                if await self._next() is not None:
                    await self._send_all()
                elif self._left and not self._left.count:
                    self._recover()
            except (OffloadFailed, StorageError, OSError) as error:
                delay_s = self._fail(str(error))
            await asyncio.sleep(delay_s)

    async def _send_all(self) -> None:
        """Send while there is something to send and it may be sent."""
        async with sender(destination_of(self._desk.config)) as child:
            while (footage := await self._next()) is not None:
                self._sending = footage
                try:
                    told = await self._send(child, footage)
                finally:
                    self._sending = None
                match told:
                    case Stored():
                        await self._keep(footage, told)
                    case Unreadable(reason):
                        self._unreadable.add(footage.path)
                        log.warning("off-load passes over: path=%s error=%s", footage.path, reason)
                    case None:
                        return

    async def _next(self) -> Footage | None:
        """What is to be sent now: clips, then the oldest locked footage; None for nothing, or not at this hour."""
        stores = self._desk.stores
        if not stores.readable:
            return None  # what lies there may be another device's
        left = await stores.footage.run(stores.archive.backlog, LOOK_AT + len(self._unreadable))
        self._left = left
        found = next((one for one in left.first if one.path not in self._unreadable), None)
        if found is None and left.first and self._unreadable:
            told = f"{left.first[0].path} and what else is left cannot be read: see the log, check the disk"
            self._unreadable.clear()
            raise OffloadFailed(told)
        return found if self._may_send() else None

    def _may_send(self) -> bool:
        return self._hours is None or self._hours.include(self._desk.clock.now().wall)

    async def _send(self, child: Process, footage: Footage) -> Stored | Unreadable | None:
        """Give the order and hear how it ends; None when the hours for it are over. Raises `OffloadFailed`."""
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        path = self._desk.config.recording.root / footage.path
        child.stdin.write(line_of(Order(str(path), self._prefix + footage.path)).encode())
        heard_mono_s = self._desk.clock.now().mono_s
        while self._may_send():
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    line = await child.stdout.readline()
            except TimeoutError:
                if self._desk.clock.now().mono_s - heard_mono_s > SILENT_S:
                    raise OffloadFailed(f"the sender said nothing for {SILENT_S:.0f} s") from None
                continue
            heard_mono_s = self._desk.clock.now().mono_s
            match _understood(line):
                case Progress(sent_bytes):
                    self._sent_bytes += sent_bytes
                case Refused(reason):
                    raise OffloadFailed(reason)
                case Stored() | Unreadable() as told:
                    return told
        return None

    async def _keep(self, footage: Footage, stored: Stored) -> None:
        """Note that it lies in the store. Raises `StorageError`; then it is found there at the next try."""
        settings, now = self._settings, self._desk.clock.now().wall
        receipt = {"v": 1, "endpoint_url": settings.endpoint_url, "bucket": settings.bucket, "key": stored.key}
        receipt |= {"etag": stored.etag, "uploaded_at": format_instant(now)}
        content = json.dumps(receipt).encode() + b"\n"
        mark, release = self._desk.stores.archive.mark_uploaded, settings.release_after_upload
        released = await self._desk.stores.footage.run(mark, footage.path, content, release=release)
        self._sent_count += 1
        self._recover()
        fields = {"camera": footage.camera, "path": footage.path, "size_bytes": footage.size_bytes}
        fields |= {"bucket": settings.bucket, "key": stored.key, "released": released}
        self._desk.report(EventType.FOOTAGE_UPLOADED, fields)

    def _fail(self, reason: str) -> float:
        """Tell of a failure, once; how long to wait now."""
        self._failures += 1
        if reason != self._last_error:
            log.warning("off-load failed: %s", reason)
            self._desk.post(ev.ProblemChanged(PROBLEM, f"footage is not sent ({reason}); it is tried again"))
        self._last_error = reason
        return retry_delay_s(self._failures, random.random())  # noqa: S311 - spreads a fleet's retries

    def _recover(self) -> None:
        if self._last_error is not None:
            log.info("off-load goes on")
            self._desk.post(ev.ProblemChanged(PROBLEM, None))
        self._failures, self._last_error = 0, None


def prefix_of(config: Config) -> str:
    """What the names of this device's objects begin with."""
    return f"{config.device.id}/" if config.offload.prefix is None else config.offload.prefix


def destination_of(config: Config) -> Destination:
    """Where to send, of a configuration that enables it."""
    settings = config.offload
    return Destination(
        endpoint_url=settings.endpoint_url,
        bucket=settings.bucket or "",
        prefix=prefix_of(config),
        region=settings.region,
        access_key=settings.access_key or "",
        secret_key=settings.secret_key.get_secret_value() if settings.secret_key else "",
        ca_file=None if settings.ca_file is None else str(settings.ca_file),
        max_bps=settings.max_bps,
    )


async def try_store(config: Config) -> str | None:
    """Why the store takes nothing; None when it answers that it knows us. Sends nothing."""
    try:
        async with sender(destination_of(config)) as child, asyncio.timeout(TRIAL_S):
            assert child.stdin is not None  # noqa: S101 - both are pipes
            assert child.stdout is not None  # noqa: S101
            child.stdin.close()
            line = await child.stdout.readline()
            told = _understood(line) if await child.wait() or line else None
    except TimeoutError:
        return f"no answer within {TRIAL_S:.0f} s"
    except OffloadFailed as failed:
        return str(failed)
    return told.reason if isinstance(told, Refused) else None


@contextlib.asynccontextmanager
async def sender(destination: Destination) -> AsyncIterator[Process]:
    """A child that was told where to send. It has nothing to finish, so that it is killed where it does not end.

    Raises `OffloadFailed` where it cannot be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(*child_argv("offload.sender"), stdin=PIPE, stdout=PIPE)
    except OSError as error:
        raise OffloadFailed(f"the sender cannot be started now: {error.strerror or error}") from error
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    try:
        process.stdin.write(line_of(destination).encode())
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        try:
            await process.wait()
        except asyncio.CancelledError:
            await process.wait()  # killed it is gone at once, and is reaped before anybody leaves
            raise


def _understood(line: bytes) -> Progress | Stored | Unreadable | Refused:
    if not line:
        raise OffloadFailed("the sender ended; its last words are in the log")
    try:
        return read_told(line)
    except ValueError as error:
        raise OffloadFailed(str(error)) from error
