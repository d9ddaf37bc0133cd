"""Viewers of live view as a browser would be one, but fast, slow or stuck as the test wants it; and a camera to see."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_agent.core.model import Now
from edge_agent.web.live import LiveView

PATIENCE_S = 30
SEGMENTS = b"\xff\xd8\xff\xfe\x00\x0a%08d\xff\xda\x00\x02"


def clock() -> Now:
    return Now(time.monotonic(), datetime.now(UTC))


def jpeg(number: int, size: int = 2000) -> bytes:
    """A picture as small as can be cut, with its number in a comment."""
    noise = random.Random(number).randbytes(size).replace(b"\xff", b"\x00")
    return SEGMENTS % number + noise + b"\xff\xd9"


@dataclass(frozen=True)
class Seen:
    """One part as it reached a viewer; the header's names in lower case."""

    header: dict[str, str]
    jpeg: bytes

    @property
    def sequence(self) -> int:
        return int(self.header["x-sequence"])

    @property
    def dropped(self) -> int:
        return int(self.header["x-dropped"])


class Eye:
    """A viewer: reads a multipart stream part by part, each up to and with the boundary that ends it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.header: dict[str, str] = {}
        self.boundary = b""

    @classmethod
    async def open(cls, port: int, path: str = "/stream/cam0", tls: ssl.SSLContext | None = None) -> Eye:
        """Connect and read the answer's header, and for a stream the boundary before the first part."""
        async with asyncio.timeout(PATIENCE_S):
            eye = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
            eye.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status_line = await eye.reader.readuntil(b"\r\n")
            eye.status = int(status_line.split()[1])
            eye.header = await eye._read_header()
            if eye.status == 200 and "boundary=" in eye.header["content-type"]:
                eye.boundary = b"--" + eye.header["content-type"].split("boundary=")[1].encode() + b"\r\n"
                assert await eye.reader.readexactly(len(eye.boundary)) == eye.boundary
        return eye

    async def body(self) -> bytes:
        """The body of an answer that has a length."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(int(self.header["content-length"]))

    async def see(self) -> Seen:
        """The next picture. Raises `asyncio.IncompleteReadError` at the end."""
        async with asyncio.timeout(PATIENCE_S):
            header = await self._read_header()
            picture = await self.reader.readexactly(int(header["content-length"]))
            assert await self.reader.readexactly(len(self.boundary) + 2) == b"\r\n" + self.boundary
        return Seen(header, picture)

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def _read_header(self) -> dict[str, str]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


class Camera:
    """Publishes numbered pictures to a view."""

    def __init__(self, view: LiveView, size: int = 2000) -> None:
        self.view = view
        self.size = size
        self.shown: list[bytes] = []

    def show(self, captured: Now | None = None) -> bytes:
        self.shown.append(jpeg(len(self.shown), self.size))
        self.view.publish(self.shown[-1], captured or clock())
        return self.shown[-1]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; the second's kernel takes little before it is read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
    return server, client
