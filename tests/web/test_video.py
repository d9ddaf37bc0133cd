from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from tornado.websocket import WebSocketClientConnection, websocket_connect

from edge_agent.tapframes import Kind, TapFrame
from edge_agent.web.live import Seats
from edge_agent.web.server import Route
from edge_agent.web.video import Video, VideoSocket
from tests.fakes.web import PATIENCE_S, Site, serving, until

MIME = 'video/mp4; codecs="avc1.64001E"'


class Tap:
    """Stands for a camera's tap: tells frames, and notes whether they are wanted."""

    def __init__(self) -> None:
        self.wanted: list[bool] = []
        self.video = Video("cam0", self.wanted.append)
        self.seats = Seats(3)

    def begin(self) -> None:
        """What a copy begins with, up to its first key frame."""
        for kind, payload in ((Kind.TYPE, MIME.encode()), (Kind.INIT, b"init"), (Kind.KEY, b"key")):
            self.tell(kind, payload)

    def tell(self, kind: Kind, payload: bytes) -> None:
        self.video.relay(TapFrame(kind, 0, payload))

    def seated(self, number: int) -> bool:
        return self.seats.taken == number

    def site(self, folder: Path) -> AbstractAsyncContextManager[Site]:
        handler = Route(r"/video/([^/]+)", VideoSocket, {"videos": {"cam0": self.video}, "seats": self.seats})
        return serving(folder, more=[handler])


class Viewer:
    """One viewer's end of the WebSocket."""

    def __init__(self) -> None:
        self.connection: WebSocketClientConnection
        self._ended = asyncio.Event()
        self._got: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def next(self) -> str | bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._got.get()

    async def greeting(self) -> list[str | bytes]:
        return [await self.next() for _ in range(3)]

    async def end(self) -> str | None:
        """Wait for the end; its reason."""
        async with asyncio.timeout(PATIENCE_S):
            await self._ended.wait()
        return self.connection.close_reason

    def take(self, message: str | bytes | None) -> None:
        if message is None:
            self._ended.set()
        else:
            self._got.put_nowait(message)


@asynccontextmanager
async def watching(site: Site, camera: str = "cam0") -> AsyncIterator[Viewer]:
    viewer = Viewer()
    url = f"{site.origin.replace('http', 'ws')}/video/{camera}"
    viewer.connection = await websocket_connect(url, on_message_callback=viewer.take)
    try:
        yield viewer
    finally:
        viewer.connection.close()
        await viewer.end()


async def test_a_viewer_gets_the_type_the_beginning_and_then_fragments_from_a_key_frame_on(tmp_path: Path) -> None:
    tap = Tap()
    async with tap.site(tmp_path) as site:
        tap.video.recorded(True)
        async with watching(site) as viewer, watching(site, "0") as late:
            await until(partial(tap.seated, 2))
            tap.begin()
            tap.tell(Kind.FRAGMENT, b"next")
            for one in (viewer, late):
                assert await one.greeting() == [MIME, b"init", b"key"]
                assert await one.next() == b"next"
            async with watching(site) as latest:
                await until(partial(tap.seated, 3))
                tap.tell(Kind.FRAGMENT, b"between")
                tap.tell(Kind.KEY, b"key")
                assert await latest.greeting() == [MIME, b"init", b"key"]
        await until(partial(tap.seated, 0))
        assert tap.wanted == [True, False]


async def test_who_comes_back_while_the_tap_goes_on_is_not_taken_for_one_of_an_older_recording(tmp_path: Path) -> None:
    tap = Tap()
    async with tap.site(tmp_path) as site:
        tap.video.recorded(True)
        for _ in range(3):
            async with watching(site) as viewer:
                await until(partial(tap.seated, 1))
                tap.begin()
                assert await viewer.greeting() == [MIME, b"init", b"key"]
            await until(partial(tap.seated, 0))


async def test_who_comes_before_the_copy_for_the_last_viewer_has_ended_gets_its_beginning_too(tmp_path: Path) -> None:
    tap = Tap()
    async with tap.site(tmp_path) as site:
        tap.video.recorded(True)
        async with watching(site) as viewer:
            await until(partial(tap.seated, 1))
            tap.begin()
            await viewer.greeting()
        await until(partial(tap.seated, 0))
        async with watching(site) as viewer:
            await until(partial(tap.seated, 1))
            tap.tell(Kind.FRAGMENT, b"between")
            tap.tell(Kind.KEY, b"key")
            assert await viewer.greeting() == [MIME, b"init", b"key"]


async def test_a_recording_that_begins_anew_or_ends_closes_with_the_reason(tmp_path: Path) -> None:
    tap = Tap()
    async with tap.site(tmp_path) as site:
        tap.video.recorded(True)
        async with watching(site) as viewer:
            await until(partial(tap.seated, 1))
            tap.begin()
            await viewer.greeting()
            tap.begin()
            assert await viewer.end() == "the recording was started anew"
        async with watching(site) as viewer:
            await until(partial(tap.seated, 1))
            tap.video.recorded(False)
            assert await viewer.end() == "cam0 does not record any more"


async def test_a_camera_that_does_not_record_or_exist_and_a_lack_of_seats_are_told(tmp_path: Path) -> None:
    tap = Tap()
    tap.seats.limit = 0
    async with tap.site(tmp_path) as site:
        for camera, recorded, reason in (
            ("cam0", False, "cam0 does not record: watch /stream/cam0"),
            ("cam9", False, "unknown_camera: one of cam0"),
            ("cam0", True, "as many viewers as are allowed: try again later"),
        ):
            tap.video.recorded(recorded)
            async with watching(site, camera) as viewer:
                assert await viewer.end() == reason
