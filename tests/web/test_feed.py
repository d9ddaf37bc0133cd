from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

from edge_agent.web.feed import MAX_BEHIND
from tests.fakes.web import PATIENCE_S, Site, serving, until


class Ear:
    """One page's end of the WebSocket."""

    def __init__(self) -> None:
        self.connection: WebSocketClientConnection
        self.ended = asyncio.Event()
        self._heard: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, site: Site) -> None:
        """Connect, and wait until the server knows of the page."""
        before = site.server.pages
        self.connection = await websocket_connect(
            site.origin.replace("http", "ws") + "/api/live", on_message_callback=self._take
        )
        await until(lambda: site.server.pages > before)

    async def hear(self) -> dict[str, Any]:
        """The next document."""
        async with asyncio.timeout(PATIENCE_S):
            document: dict[str, Any] = json.loads(await self._heard.get())
        return document

    async def end(self) -> None:
        """Wait until the connection has ended."""
        async with asyncio.timeout(PATIENCE_S):
            await self.ended.wait()

    def _take(self, message: str | bytes | None) -> None:
        if isinstance(message, str):
            self._heard.put_nowait(message)
        else:
            self.ended.set()


@asynccontextmanager
async def listening(site: Site) -> AsyncIterator[Ear]:
    """A page for the length of a block."""
    ear = Ear()
    await ear.connect(site)
    try:
        yield ear
    finally:
        ear.connection.close()
        await ear.end()


async def test_a_new_page_hears_the_newest_of_each_first_and_then_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for number in (1, 2):
            site.cells["status"].put({"v": 1, "number": number})
            site.cells["event"].put({"v": 1, "number": number})
        async with listening(site) as page:
            assert await page.hear() == {"type": "status", "data": {"v": 1, "number": 2}}
            assert await page.hear() == {"type": "event", "data": {"v": 1, "number": 2}}
            for number in range(3, 10):
                site.cells["event"].put({"v": 1, "number": number})
            assert [(await page.hear())["data"]["number"] for _ in range(7)] == list(range(3, 10))
            site.cells["result"].put({"v": 1, "id": "x"})
            assert (await page.hear())["type"] == "result"


async def test_every_page_hears_and_one_that_left_is_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, listening(site) as one, listening(site) as other:
        async with listening(site):
            assert site.server.pages == 3
        await until(lambda: site.server.pages == 2)
        site.cells["event"].put({"v": 1})
        for page in (one, other):
            assert (await page.hear())["type"] == "event"


async def test_what_a_page_says_is_ignored_and_too_much_of_it_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, listening(site) as page:
        await page.connection.write_message('{"verb":"start"}')
        site.cells["event"].put({"v": 1})
        assert (await page.hear())["type"] == "event"
        assert not site.driver.commands
        await page.connection.write_message("x" * 100_000)
        await page.end()


@contextmanager
def stuck_page(port: int) -> Iterator[None]:
    """A page that reads nothing, not even the answer to its request."""
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", port))
        stuck.sendall(
            b"GET /api/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        yield


async def test_a_page_that_reads_nothing_is_sent_away_and_the_others_hear_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        with stuck_page(site.server.port):
            await until(lambda: site.server.pages == 1)
            async with listening(site) as reading:
                batch, sent = MAX_BEHIND // 10, 0
                while site.server.pages == 2:
                    for number in range(sent, sent + batch):
                        site.cells["event"].put({"v": 1, "number": number, "filling": "x" * 10_000})
                    for number in range(sent, sent + batch):
                        assert (await reading.hear())["data"]["number"] == number
                    sent += batch
                    assert sent < 5000, "nobody noticed"
                assert site.server.pages == 1


async def test_a_slow_page_skips_states_and_ends_with_the_newest(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, listening(site) as page:
        for number in range(1000):
            site.cells["status"].put({"v": 1, "number": number})
        numbers = [(await page.hear())["data"]["number"]]
        while numbers[-1] != 999:
            numbers.append((await page.hear())["data"]["number"])
        assert numbers == sorted(numbers)
        assert len(numbers) < 10


async def test_when_the_agent_stops_pages_are_told_so(tmp_path: Path) -> None:
    ear = Ear()
    async with serving(tmp_path) as site:
        await ear.connect(site)
    await ear.end()
    ear.connection.close()
    assert ear.connection.close_code == 1001
