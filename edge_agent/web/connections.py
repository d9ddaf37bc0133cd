"""The connections of the web server: how many there may be, how long each may take, and how one is sent away."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream

from edge_agent.core.model import Code
from edge_agent.web.listening import patient
from edge_agent.web.problem import CONTENT_TYPE, problem_document

LINGER_S = 1.0
MAX_BODY_BYTES = 1024 * 1024
MAX_DROPPED_BYTES = 64 * MAX_BODY_BYTES
"""Of a body without a length so much is read before Tornado hangs up; what is over `MAX_BODY_BYTES` is dropped."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost.

    `header_s` is for the whole header and for the pause between two requests of one connection: Tornado knows one time
    for both. `stuck_ms` is how long the kernel lets sent bytes go unacknowledged before it gives a connection up.
    """

    connections: int = 256
    header_s: float = 10.0
    body_s: float = 30.0
    stuck_ms: int = 60_000


def listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`, all on one port. Raises `OSError`, and then none is left open."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in dict.fromkeys((family, address[0]) for family, _, _, _, address in found):
        try:
            opened = socket.create_server((str(address), port), family=family, backlog=128)
        except OSError as error:
            failure = error
            if error.errno not in _NO_SUCH_ADDRESS:
                break
            continue
        opened.setblocking(False)
        sockets.append(opened)
        port = opened.getsockname()[1]
    if failure is not None and (not sockets or failure.errno not in _NO_SUCH_ADDRESS):
        for opened in sockets:
            opened.close()
        raise failure
    return patient(sockets)


_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What a machine without IPv6 says to the second address of `localhost`."""


class LimitedServer(HTTPServer):
    """Tornado's server with a limit on connections, and an answer to bodies that are too large."""

    limits: Limits
    others: Callable[[], int]

    def initialize(self, *args: Any, **settings: Any) -> None:
        super().initialize(*args, **settings)
        self._open = 0
        self._leaving: set[IOStream] = set()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self._open + self.others() >= self.limits.connections:
            detail = f"all {self.limits.connections} connections are taken; try again"
            self.send_away(stream, HTTPStatus.SERVICE_UNAVAILABLE, Code.RATE_LIMITED, detail)
            return
        stream.write = _Explaining(stream.write)  # type: ignore[method-assign]
        stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.limits.stuck_ms)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self._open -= 1
        super().on_close(server_conn)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _SizeChecked(super().start_request(server_conn, request_conn), request_conn, self.send_away)

    async def close_all_connections(self) -> None:
        for stream in tuple(self._leaving):
            stream.close()
        await super().close_all_connections()

    def send_away(self, stream: IOStream, status: HTTPStatus, code: Code, detail: str) -> None:
        """Answer without Tornado's help, and hang up when the client has, or a moment later.

        Meanwhile what it sends is taken and dropped: a connection that ends with bytes unread loses the answer.
        """
        self._leaving.add(stream)
        stream.set_close_callback(lambda: self._leaving.discard(stream))
        stream.write(_whole_answer(status, code, detail))
        stream.read_until_close()
        asyncio.get_running_loop().call_later(LINGER_S, stream.close)


def _whole_answer(status: HTTPStatus, code: Code, detail: str) -> bytes:
    """A problem as it goes over the wire, after which the connection ends."""
    body = json.dumps(problem_document(status, code, detail)).encode()
    later = "Retry-After: 10\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"{later}Connection: close\r\n\r\n"
    )
    return head.encode() + body


_BARE_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""All that Tornado says to what is no HTTP, in one write, before it hangs up."""


class _Explaining:
    """Writes to a connection, and a problem document where Tornado would refuse without a word."""

    def __init__(self, write: Callable[[bytes | memoryview], asyncio.Future[None]]) -> None:
        self._write = write

    def __call__(self, data: bytes | memoryview) -> asyncio.Future[None]:
        if data == _BARE_REFUSAL:
            detail = "this is no HTTP/1.1 request: its first line, a header or its length is wrong"
            data = _whole_answer(HTTPStatus.BAD_REQUEST, Code.MALFORMED, detail)
        return self._write(data)


class _SizeChecked(HTTPMessageDelegate):
    """Refuses a body that says it is too large before any of it is read, and one that turns out to be when it does.

    Tornado's own answers would say nothing.
    """

    def __init__(
        self,
        inner: HTTPMessageDelegate,
        connection: HTTPConnection,
        send_away: Callable[[IOStream, HTTPStatus, Code, str], None],
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._send_away = send_away
        self._received = 0
        self.on_connection_close = inner.on_connection_close  # type: ignore[method-assign]

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> Any:
        length = headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 20 and int(length) > MAX_BODY_BYTES):
            return self._inner.headers_received(start_line, headers)
        stream: IOStream = self._connection.detach()  # type: ignore[attr-defined]
        detail = f"the body has {length} bytes; send at most {MAX_BODY_BYTES}"
        self._send_away(stream, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_LARGE, detail)
        return None

    def data_received(self, chunk: bytes) -> Any:
        before = self._received
        self._received += len(chunk)
        if self._received <= MAX_BODY_BYTES:
            return self._inner.data_received(chunk)
        if before <= MAX_BODY_BYTES:
            # Not sent away: Tornado is still reading. What it reads is dropped until the connection ends.
            stream: IOStream = self._connection.stream  # type: ignore[attr-defined]
            detail = f"the body has more than {MAX_BODY_BYTES} bytes"
            stream.write(_whole_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_LARGE, detail))
            asyncio.get_running_loop().call_later(LINGER_S, stream.close)
        return None

    def finish(self) -> None:
        if self._received <= MAX_BODY_BYTES:
            self._inner.finish()
