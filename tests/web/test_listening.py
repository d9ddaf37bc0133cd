from __future__ import annotations

import asyncio
import socket

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from edge_agent.web.listening import patient


def test_connections_come_one_at_a_time_and_none_is_lost() -> None:
    (listening,) = patient([socket.create_server(("127.0.0.1", 0))])
    listening.setblocking(False)
    with listening:
        clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
        for client in clients:
            accepted, address = listening.accept()
            assert address == client.getsockname()
            accepted.close()
            client.close()
            with pytest.raises(BlockingIOError):
                listening.accept()
        with pytest.raises(BlockingIOError):
            listening.accept()


class Counting(RequestHandler):
    """Notes how many others were being answered at the same time."""

    together: list[int] = []  # noqa: RUF012  # belongs to one test

    async def get(self) -> None:
        self.together.append(len(self.application.settings["server"]._connections))


async def test_tornado_answers_all_of_a_crowd_that_comes_at_once() -> None:
    application = Application([(r"/", Counting)])
    server = HTTPServer(application)
    application.settings["server"] = server
    sockets = patient(bind_sockets(0, "127.0.0.1", backlog=200))
    port = sockets[0].getsockname()[1]
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    for one in crowd:
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    server.add_sockets(sockets)
    async with asyncio.timeout(30):
        for one in crowd:
            reader, writer = await asyncio.open_connection(sock=one)
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            await writer.wait_closed()
        server.stop()
        await server.close_all_connections()
    assert len(Counting.together) == 60
    assert max(Counting.together) < 30
