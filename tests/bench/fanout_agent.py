"""The agent's live path alone, as a server for `fanout.py`: frames on stdin, `/stream/cam0` on a port that it tells."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
import time
from datetime import UTC, datetime

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from edge_agent.core.model import Now
from edge_agent.loop import Loop
from edge_agent.rpicam.source import FrameSource
from edge_agent.web.listening import patient
from edge_agent.web.live import LiveView, Seats
from edge_agent.web.stream import StreamHandler


def clock() -> Now:
    return Now(time.monotonic(), datetime.now(UTC))


async def serve(certificate: str | None) -> None:
    view = LiveView("cam0", lambda _: None, clock)
    application = Application([(r"/stream/(\w+)", StreamHandler, {"views": {"cam0": view}, "seats": Seats(1000)})])
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = HTTPServer(application, ssl_options=tls)
    listening = patient(bind_sockets(0, "127.0.0.1", backlog=512))
    server.add_sockets(listening)
    over = asyncio.Event()
    FrameSource(sys.stdin.fileno(), view.publish, clock, over.set)
    print(listening[0].getsockname()[1], flush=True)
    await over.wait()
    view.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--certificate", help="serve HTTPS with this PEM file (key and certificate)")
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(serve(arguments.parse_args().certificate))
