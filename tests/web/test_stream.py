from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edge_agent.web.live import LiveView, Seats
from edge_agent.web.stream import SnapshotHandler, StreamHandler
from tests.fakes.viewers import PATIENCE_S, Camera, Eye, clock

LONG_S = 1000.0
SEATS = 4
MADE: dict[str, Any] = {"X-Made-By": "the guard"}


class Named(RequestHandler):
    """Stands for what is mixed in front: access, and headers for every answer."""

    def set_default_headers(self) -> None:
        for name, value in MADE.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        site: Site = self.settings["site"]
        site.preparing = self
        await site.door.wait()
        if self.get_query_argument("secret", "") == "wrong":
            self.set_status(403)
            self.finish("no")


class Stream(Named, StreamHandler):
    pass


class Snapshot(Named, SnapshotHandler):
    pass


class Site:
    """A server with one camera."""

    def __init__(self, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None) -> None:
        self.view = LiveView("cam0", lambda _: self.changed.set(), clock, LONG_S, LONG_S)
        self.changed = asyncio.Event()
        self.camera = Camera(self.view)
        self.seats = Seats(SEATS)
        self.door = asyncio.Event()
        self.door.set()
        self.preparing: Named | None = None
        self.trusting = tls[1] if tls else None
        live = {"views": {"cam0": self.view}, "seats": self.seats}
        routes: list[Any] = [
            (r"/stream/([^/]+)", Stream, live),
            (r"/snapshot/([^/]+)\.jpg", Snapshot, {**live, "timeout_s": 0.5}),
        ]
        self.server = HTTPServer(Application(routes, site=self), ssl_options=tls[0] if tls else None)
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.server.add_sockets(sockets)
        self._eyes: list[Eye] = []

    async def get(self, path: str) -> Eye:
        eye = await Eye.open(self.port, path, self.trusting)
        self._eyes.append(eye)
        return eye

    async def look(self, path: str = "/stream/cam0") -> Eye:
        """A viewer that the hub knows of."""
        before = self.view.viewers
        eye = await self.get(path)
        assert eye.status == 200
        await self.until(lambda: self.view.viewers > before)
        return eye

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # the server says nothing of it
                await asyncio.sleep(0)

    async def close(self) -> None:
        self.server.stop()
        self.view.close()
        for eye in self._eyes:
            await eye.close()
        async with asyncio.timeout(PATIENCE_S):
            await self.server.close_all_connections()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server with a certificate of its own needs, and a client that trusts it."""
    both: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv = ["openssl", "req", *kind, *names, "-keyout", str(both), "-out", str(both.with_name("cert.pem"))]
    subprocess.run(argv, check=True, capture_output=True)
    both.write_bytes(both.read_bytes() + both.with_name("cert.pem").read_bytes())
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(both)
    return serving, ssl.create_default_context(cafile=str(both.with_name("cert.pem")))


@pytest.fixture(params=["http", "https"])
async def site(request: pytest.FixtureRequest, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Site]:
    site = Site(tls if request.param == "https" else None)
    yield site
    await site.close()


async def test_a_stream_is_parts_with_their_length_time_and_number(site: Site) -> None:
    eye = await site.look()
    assert re.fullmatch(r"multipart/x-mixed-replace; ?boundary=[\w-]+", eye.header["content-type"])
    assert eye.header["cache-control"] == "no-store"
    assert "transfer-encoding" not in eye.header
    before = datetime.now(UTC)
    for number in (1, 2, 3):
        shown = site.camera.show()
        seen = await eye.see()
        assert seen.jpeg == shown
        assert list(seen.header) == ["content-type", "content-length", "x-timestamp", "x-sequence", "x-dropped"]
        assert seen.header["content-type"] == "image/jpeg"
        assert (seen.sequence, seen.dropped) == (number, 0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", seen.header["x-timestamp"])
        age = datetime.fromisoformat(seen.header["x-timestamp"]) - before
        assert -0.01 < age.total_seconds() < PATIENCE_S


async def test_what_stands_in_front_sets_headers_and_may_refuse(site: Site) -> None:
    eye = await site.look()
    assert eye.header["x-made-by"] == MADE["X-Made-By"]
    refused = await site.get("/stream/cam0?secret=wrong")
    assert refused.status == 403
    assert site.seats.taken == 1


async def test_all_viewers_see_the_same_and_one_that_leaves_gives_its_seat_back(site: Site) -> None:
    eyes = [await site.look() for _ in range(3)]
    shown = site.camera.show()
    assert [(await eye.see()).jpeg for eye in eyes] == [shown] * 3
    await eyes[0].close()
    await site.until(lambda: site.view.viewers == 2)
    assert site.seats.taken == 2
    shown = site.camera.show()
    assert [(await eye.see()).jpeg for eye in eyes[1:]] == [shown] * 2


async def test_a_camera_may_be_asked_for_by_its_number(site: Site) -> None:
    eye = await site.look("/stream/0")
    shown = site.camera.show()
    assert (await eye.see()).jpeg == shown


async def problem(site: Site, path: str) -> tuple[int, str, dict[str, str]]:
    eye = await site.get(path)
    assert eye.header["content-type"] == "application/problem+json"
    document = json.loads(await eye.body())
    assert document["status"] == eye.status
    assert document["detail"]
    return eye.status, document["code"], eye.header


async def test_an_unknown_camera_is_refused(site: Site) -> None:
    for path in ("/stream/cam7", "/stream/7", "/snapshot/cam7.jpg"):
        assert (await problem(site, path))[:2] == (404, "unknown_camera")


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "inf", "1000", "fast", "1e-9"])
async def test_a_rate_that_makes_no_sense_is_refused(site: Site, fps: str) -> None:
    assert (await problem(site, f"/stream/cam0?fps={fps}"))[:2] == (400, "out_of_range")
    assert site.seats.taken == 0


async def test_a_lower_rate_may_be_asked_for(site: Site) -> None:
    eye = await site.look("/stream/cam0?fps=0.1")
    every = await site.look()
    for number in range(1, 4):
        site.camera.show()
        assert (await every.see()).sequence == number
    assert (await eye.see()).sequence == 1
    site.view.close()
    with pytest.raises(asyncio.IncompleteReadError):
        await eye.see()


async def test_one_viewer_too_many_is_told_when_to_come_back(site: Site) -> None:
    eyes = [await site.look() for _ in range(SEATS)]
    status, code, header = await problem(site, "/stream/cam0")
    assert (status, code) == (503, "rate_limited")
    assert int(header["retry-after"]) > 0
    await eyes[0].close()
    await site.until(lambda: site.seats.taken < SEATS)
    await site.look()


async def test_a_slow_viewer_skips_frames_whole_and_is_told_how_many(site: Site) -> None:
    slow, fast = await site.look(), await site.look()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transports can
    site.camera.size = 400_000
    for number in range(1, 41):
        site.camera.show()
        assert (await fast.see()).sequence == number
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    seen = [await slow.see()]
    while seen[-1].sequence < 40:
        seen.append(await slow.see())
    assert [one.jpeg for one in seen] == [site.camera.shown[one.sequence - 1] for one in seen]
    for before, after in pairwise(seen):
        assert after.dropped - before.dropped == after.sequence - before.sequence - 1
    assert seen[-1].dropped == site.view.dropped_frames > 0


async def test_a_viewer_that_leaves_while_its_access_is_checked_keeps_no_seat(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.door.clear()
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=site.trusting)
    writer.write(b"GET /stream/cam0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await site.until(lambda: site.preparing is not None)
    writer.transport.abort()
    assert site.preparing is not None
    assert site.preparing.request.connection is not None
    await site.until(site.preparing.request.connection.stream.closed)  # type: ignore[attr-defined]  # HTTP/1's has one
    site.door.set()
    eye = await site.look()
    shown = site.camera.show()
    assert (await eye.see()).jpeg == shown
    assert (site.seats.taken, site.view.viewers) == (1, 1)
    assert "Traceback" not in caplog.text


async def test_closing_the_view_ends_the_streams(site: Site) -> None:
    eyes = [await site.look() for _ in range(3)]
    site.view.close()
    for eye in eyes:
        with pytest.raises(asyncio.IncompleteReadError):
            await eye.see()
    assert (site.view.viewers, site.seats.taken) == (0, 0)


async def test_a_stream_stays_while_others_come_and_go(site: Site) -> None:
    eye = await site.look()
    for _ in range(50):
        await (await site.look()).close()
        await site.until(lambda: site.view.viewers == 1)
    shown = site.camera.show()
    assert (await eye.see()).jpeg == shown


async def in_turn(asked: Awaitable[Eye], site: Site) -> tuple[Eye, bytes]:
    """Ask for a snapshot, and show a picture once it is wanted."""
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(wait_for(asked), name="snapshot")
        await site.changed.wait()
        shown = site.camera.show()
    return answer.result(), shown


async def wait_for(asked: Awaitable[Eye]) -> Eye:
    async with asyncio.timeout(PATIENCE_S):
        return await asked


async def test_a_snapshot_is_one_fresh_picture(site: Site) -> None:
    site.camera.show()
    eye, shown = await in_turn(site.get("/snapshot/0.jpg"), site)
    assert (eye.status, eye.header["content-type"]) == (200, "image/jpeg")
    assert await eye.body() == shown
    assert eye.header["x-sequence"] == "2"
    assert eye.header["x-timestamp"].endswith("Z")
    assert eye.header["cache-control"] == "no-store"
    assert eye.header["x-made-by"] == MADE["X-Made-By"]


async def test_a_snapshot_of_a_silent_camera_fails_in_time(site: Site) -> None:
    status, code, header = await problem(site, "/snapshot/cam0.jpg")
    assert (status, code) == (503, "no_frames")
    assert int(header["retry-after"]) > 0
