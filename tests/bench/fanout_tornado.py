"""Live view the plain Tornado way (`write`, then `await flush`), as a server for `fanout.py`."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edge_agent.core.model import Now
from edge_agent.latest import Latest
from edge_agent.rpicam.source import FrameSource


def clock() -> Now:
    return Now(time.monotonic(), datetime.now(UTC))


class Plain(RequestHandler):
    def initialize(self, latest: Latest[bytes]) -> None:
        self.latest = latest

    async def get(self) -> None:
        self.set_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        try:
            async for jpeg in self.latest:
                self.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.write(jpeg)
                self.write(b"\r\n")
                await self.flush()
        except StreamClosedError:
            pass


async def serve() -> None:
    latest: Latest[bytes] = Latest()
    server = HTTPServer(Application([(r"/stream/cam0", Plain, {"latest": latest})]))
    listening = bind_sockets(0, "127.0.0.1", backlog=512)
    server.add_sockets(listening)
    over = asyncio.Event()
    FrameSource(sys.stdin.fileno(), lambda jpeg, _: latest.put(jpeg), clock, over.set)
    print(listening[0].getsockname()[1], flush=True)
    await over.wait()


if __name__ == "__main__":
    asyncio.run(serve())
