"""A web server on a free port of loopback, over an archive and a driver that are small pretences."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from edge_agent.config.settings import WebSettings
from edge_agent.core.commands import Command, Refusal, Result
from edge_agent.core.model import CameraState, Code, DeviceState, Now, Problem, Profile, Purpose, ResultStatus, Segment
from edge_agent.core.status import AgentStatus, CameraStatus
from edge_agent.latest import Latest
from edge_agent.web.access import Access
from edge_agent.web.connections import Limits
from edge_agent.web.feed import Feed, Kind
from edge_agent.web.guard import Doors
from edge_agent.web.ports import Checked, House, Picture, Wanted
from edge_agent.web.server import Route, WebServer, own_names
from edge_agent.web.tokens import Tokens, read_tokens

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
VIEWER, OPERATOR = "the-viewers-own-token", "the-operators-own-token"

STATUS = AgentStatus(
    state=DeviceState.RECORDING,
    mode="dual-640",
    selected_mode="dual-640",
    duration_s=600.0,
    started_at=AT - timedelta(seconds=90),
    ends_at=AT + timedelta(seconds=510),
    label=None,
    cameras={
        "cam0": CameraStatus(CameraState.RUNNING, True, 640, 480, 30, None, AT, 0, None, Purpose.RECORD),
        "cam1": CameraStatus(CameraState.FATAL, False, None, None, None, None, None, 5, 'no "camera"', None),
    },
    problems=(Problem("disk_low", "delete something", AT),),
    last_command=None,
)


def segment(number: int, **changes: Any) -> Segment:
    """The segment of this minute after nine."""
    started_at = datetime(2026, 11, 23, 9, number, tzinfo=UTC)
    known = Segment(
        path=f"640x480/cam0/blackbox_cam0_640_{started_at:%Y%m%dT%H%M%SZ}.mp4",
        camera="cam0",
        mode="dual-640",
        run_id="20261123T090000Z-000001-cam0",
        sequence=1,
        index=number,
        started_at=started_at,
        duration_s=60.0,
        size_bytes=1000,
        width=640,
        height=480,
        label=None,
        lock_labels=(),
    )
    return replace(known, **changes)


@dataclass
class Cupboard:
    """Recordings in a folder; `segments` are newest first, and only the camera filters. The cursor is an index."""

    root: Path
    segments: list[Segment] = field(default_factory=list)
    asked: list[Wanted] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    clip_breaks: bool = False
    clip_fails: bool = False
    clips_closed: int = 0

    def store(self, number: int, content: bytes) -> Segment:
        """Put a segment with this content into the folder."""
        stored = segment(number, size_bytes=len(content))
        path = self.root / stored.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.segments.insert(0, stored)
        return stored

    @dataclass(frozen=True)
    class Page:
        segments: tuple[Segment, ...]
        next_cursor: str | None

    @dataclass(frozen=True)
    class Checked:
        path: str
        damage: str | None
        size_bytes: int
        frames: int

    async def page(self, wanted: Wanted, limit: int, cursor: str | None) -> Page | Refusal:
        self.asked.append(wanted)
        if cursor is not None and not cursor.isdigit():
            return Refusal(Code.OUT_OF_RANGE, "this cursor is of no page")
        begin = int(cursor or 0)
        found = [one for one in self.segments if wanted.camera in (None, one.camera)]
        return self.Page(
            tuple(found[begin : begin + limit]), str(begin + limit) if len(found) > begin + limit else None
        )

    async def open(self, path: str) -> int | Refusal:
        self.opened.append(path)
        try:
            return os.open(self.root / path, os.O_RDONLY)
        except FileNotFoundError:
            return Refusal(Code.NOT_FOUND, "there is no such file")

    async def delete(self, path: str) -> Refusal | None:
        for one in self.segments:
            if one.path == path:
                if one.locked:
                    return Refusal(Code.FORBIDDEN, "locked: unlock it first")
                self.segments.remove(one)
                return None
        return Refusal(Code.NOT_FOUND, "there is no such recording")

    async def verify(self, path: str) -> Checked | Refusal:
        if not (self.root / path).is_file():
            return Refusal(Code.NOT_FOUND, "there is no such file")
        content = (self.root / path).read_bytes()
        return self.Checked(path, None if content else "is empty", len(content), len(content))

    async def clip(self, camera: str, start: datetime, end: datetime) -> AsyncGenerator[bytes, None] | Refusal:
        if not self.segments:
            return Refusal(Code.NOT_FOUND, f"{camera} has no footage there")
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            if self.clip_fails:
                raise OSError("the child cannot be started")
            yield b"first "
            if self.clip_breaks:
                raise OSError("the disk has gone")
            yield b"second"
        finally:
            self.clips_closed += 1


@dataclass
class Screen:
    """The live picture's settings and the stored snapshots, newest first; `refusal` is what changes get."""

    profile: Profile = field(default_factory=lambda: Profile(640, 480, 30))
    refusal: Refusal | None = None
    pictures: list[Picture] = field(default_factory=list)

    async def change(self, profile: Profile) -> Refusal | None:
        if self.refusal is None:
            self.profile = profile
        return self.refusal

    async def snapshots(self, limit: int) -> list[Picture] | Refusal:
        return self.refusal or self.pictures[:limit]


@dataclass
class Driver:
    """Answers every command with success, or as its refusal says; `slow` verbs get no answer in time."""

    commands: list[Command] = field(default_factory=list)
    code: Code = Code.OK
    slow: bool = False

    async def __call__(self, command: Command, timeout_s: float) -> Result:
        self.commands.append(command)
        if self.slow:
            raise TimeoutError
        refusal = command.refusal or (Refusal(self.code, "not now") if self.code is not Code.OK else None)
        return Result(
            id=command.id,
            verb=command.verb,
            status=ResultStatus.REJECTED if refusal else ResultStatus.SUCCEEDED,
            code=refusal.code if refusal else Code.OK,
            message=refusal.message if refusal else "done",
            at=AT,
            took_ms=5,
            warnings=command.warnings,
        )


@dataclass
class Site:
    """One running server with all that a test looks at or turns."""

    server: WebServer
    recordings: Cupboard
    driver: Driver
    status: Latest[AgentStatus]
    cells: dict[Kind, Latest[dict[str, Any]]]
    clock: Clock
    client: AsyncHTTPClient
    screen: Screen

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def fetch(
        self, path: str, method: str = "GET", body: bytes | str | None = None, token: str | None = None, **headers: str
    ) -> HTTPResponse:
        """One request; headers by keyword, with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        return await self.client.fetch(
            self.origin + path,
            method=method,
            body=b"" if body is None and method in ("POST", "PUT", "PATCH") else body,
            headers=named,
            raise_error=False,
            follow_redirects=False,
            request_timeout=20,
            allow_nonstandard_methods=True,
        )

    async def document(self, path: str, method: str = "GET", **more: Any) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of one request."""
        response = await self.fetch(path, method, **more)
        return response.code, json.loads(response.body)


PATIENCE_S = 20.0
"""Long enough for a machine that is busy with other tests."""


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def open_files() -> int:
    """How many descriptors this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@dataclass
class Clock:
    """A clock that tests turn."""

    at: Now = field(default_factory=lambda: Now(1000.0, AT))

    def __call__(self) -> Now:
        return self.at

    def turn(self, seconds: float) -> None:
        self.at = Now(self.at.mono_s + seconds, self.at.wall + timedelta(seconds=seconds))


def known_tokens(folder: Path) -> Tokens:
    """A viewer and an operator."""
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text(f"viewer eye {VIEWER}\noperator hand {OPERATOR}\n", encoding="utf-8")
    return read_tokens(path)


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    tokens: Tokens | None = None,
    settings: WebSettings | None = None,
    more: Sequence[Route] = (),
    limits: Limits | None = None,
) -> AsyncIterator[Site]:
    """A server for the length of a block; without `tokens` everybody may do everything."""
    settings = settings or WebSettings(port=0)
    clock, driver, recordings, screen = Clock(), Driver(), Cupboard(folder / "archive"), Screen()
    status: Latest[AgentStatus] = Latest()
    cells: dict[Kind, Latest[dict[str, Any]]] = {
        "status": Latest(),
        "telemetry": Latest(),
        "event": Latest(),
        "result": Latest(),
    }
    status.put(STATUS)
    numbers = iter(range(1, 10_000))
    house = House(
        device="van7",
        boot_id="5f0c",
        version="0.1.0",
        clock=clock,
        new_id=lambda: f"made{next(numbers)}",
        ask=driver,
        status=status,
        info=Latest(),
        telemetry=cells["telemetry"],
        recordings=recordings,
        live=screen,
        album=screen,
    )
    doors = Doors(
        house,
        Access(tokens, b"secret" * 8, clock),
        own_names(settings, house.device),
        frozenset(settings.cors_origins),
    )
    server = WebServer(settings, doors, Feed(cells), more, limits=limits)
    server.start()
    client = SimpleAsyncHTTPClient(force_instance=True, max_clients=300)
    try:
        yield Site(server, recordings, driver, status, cells, clock, client, screen)
    finally:
        client.close()
        await server.stop()
