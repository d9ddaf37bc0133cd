"""The web server: which path goes to whom, and the limits that keep viewers from outranking recordings.

Nothing is served but what stands in the route table, and every handler there is a `Guard`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from edge_agent.config.settings import WebSettings
from edge_agent.config.values import is_loopback
from edge_agent.core.model import Code, Now
from edge_agent.web import api, files, login, metrics, pages
from edge_agent.web.access import Access
from edge_agent.web.feed import Feed, Page
from edge_agent.web.guard import Doors, Guard, GuardedSocket
from edge_agent.web.problem import CONTENT_TYPE, problem_document
from edge_agent.web.tokens import Role, TokensUnusable, create_tokens, read_tokens, session_secret

STOP_S = 3.0
LINGER_S = 1.0
PING_S = 20.0
MAX_BODY_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 128 * 1024
"""Room for a Range of 10,000 parts, so that it is refused by name; beyond it Tornado hangs up without a word."""
MAX_MESSAGE_BYTES = 64 * 1024
"""What a page may say through a WebSocket: nothing that needs more."""
SECRET_NAME = "web-session-secret"  # noqa: S105 - the name of a file

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Route:
    """A path (regular expression), who answers it, and what that one is initialized with.

    A handler that is no `Guard` is put behind one that lets viewers GET.
    """

    path: str
    handler: type[RequestHandler]
    arguments: dict[str, Any] = field(default_factory=dict)


def routes(feed: Feed, assets: pages.Assets) -> list[Route]:
    """The routes of this room; live view adds its own."""
    return [
        Route(r"/", pages.Index, {"assets": assets}),
        Route(r"/static/(.+)", pages.StaticFile, {"assets": assets}),
        Route(r"/login", login.Login),
        Route(r"/login\.css", login.LoginStyle),
        Route(r"/logout", login.Logout),
        Route(r"/api/session", login.Session),
        Route(r"/api/blackbox/status", api.Status),
        Route(r"/api/blackbox/([^/]*)", api.Commands),
        Route(r"/api/system/info", api.SystemInfo),
        Route(r"/api/recordings", files.RecordingsPage),
        Route(r"/api/recordings/lock", api.Lock),
        Route(r"/api/recordings/unlock", api.Unlock),
        Route(r"/api/recordings/(.+)", files.DeleteRecording),
        Route(r"/recordings/(.+)", files.RecordingFile),
        Route(r"/api/clip", files.Clip),
        Route(r"/api/live", Page, {"feed": feed}),
        Route(r"/api/openapi\.json", api.OpenApi),
        Route(r"/metrics", metrics.Metrics),
        Route(r"/healthz", api.Health),
    ]


def guarded(handler: type[RequestHandler]) -> type[RequestHandler]:
    """The handler itself if it is a `Guard`, else the same behind one that lets viewers GET."""
    if issubclass(handler, Guard):
        return handler
    guard = GuardedSocket if issubclass(handler, WebSocketHandler) else Guard
    return type(f"Guarded{handler.__name__}", (guard, handler), {"needs": {"GET": Role.VIEWER}, "has_head": False})


def make_access(settings: WebSettings, state_dir: Path, clock: Callable[[], Now]) -> tuple[Access, str | None]:
    """Who may come in, by configuration, and a token to show once if one was made. Blocking.

    Raises `TokensUnusable`, also for a server that would be open to others without credentials.
    """
    if settings.allow_anonymous or (settings.tokens_file is None and is_loopback(settings.host)):
        return Access(None, os.urandom(32), clock), None
    if settings.tokens_file is None:
        raise TokensUnusable(f"web.host {settings.host} is open to others: set web.tokens_file")
    new_token = create_tokens(settings.tokens_file)
    tokens = read_tokens(settings.tokens_file)
    return Access(tokens, session_secret(state_dir / SECRET_NAME), clock), new_token


def own_names(settings: WebSettings, device: str) -> frozenset[str]:
    """The names under which a browser may ask for this machine, besides its addresses."""
    host = socket.gethostname().lower()
    names = {settings.host.lower(), *(name for base in (host, device) for name in (base, f"{base}.local"))}
    return frozenset(names | {urlsplit(origin).hostname or "" for origin in settings.cors_origins} - {""})


class WebServer:
    """Listens from `start` to `stop`. `others` counts the connections that left Tornado: those of live viewers."""

    def __init__(
        self,
        settings: WebSettings,
        doors: Doors,
        feed: Feed,
        more: Sequence[Route] = (),
        others: Callable[[], int] = lambda: 0,
        limits: Limits = Limits(),
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._sockets: list[socket.socket] = []
        table = [*routes(feed, pages.read_assets()), *more]
        self._application = Application(
            [(route.path, guarded(route.handler), route.arguments) for route in table],
            default_handler_class=api.Nothing,
            log_function=_log_request,
            doors=doors,
            websocket_ping_interval=PING_S,
            websocket_max_message_size=MAX_MESSAGE_BYTES,
        )
        self._server = LimitedServer(
            self._application,
            ssl_options=_tls(settings),
            idle_connection_timeout=limits.header_s,
            body_timeout=limits.body_s,
            max_body_size=MAX_BODY_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            max_buffer_size=2 * MAX_BODY_BYTES,
        )
        self._server.limits = limits
        self._server.others = lambda: feed.pages + others()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page; valid after `start`."""
        host, port = self._sockets[0].getsockname()[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - read, not bound
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self._settings.tls else 'http'}://{name}:{port}/"

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    @property
    def pages(self) -> int:
        """How many pages listen on the WebSocket."""
        return self._feed.pages

    def start(self) -> None:
        """Listen. Raises `OSError`, for a port that is taken as for a name that is none."""
        self._sockets = bind_sockets(self._settings.port, self._settings.host)
        self._feed.start()
        self._server.add_sockets(self._sockets)
        log.info("web server listens: url=%s", self.url)

    async def stop(self) -> None:
        """Take no more connections and end those there are."""
        self._server.stop()
        self._feed.stop()
        try:
            async with asyncio.timeout(STOP_S):
                await self._server.close_all_connections()
        except TimeoutError:
            log.warning("web connections did not end: seconds=%s", STOP_S)


class LimitedServer(HTTPServer):
    """Tornado's server with a limit on connections, and an answer to bodies that are too large."""

    limits: Limits
    others: Callable[[], int]

    def initialize(self, *args: Any, **settings: Any) -> None:
        super().initialize(*args, **settings)
        self._open = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if self._open + self.others() >= self.limits.connections:
            _turn_away(stream, self.limits.connections)
            return
        stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.limits.stuck_ms)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: object) -> None:
        self._open -= 1
        super().on_close(server_conn)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        return _SizeChecked(super().start_request(server_conn, request_conn), request_conn)


class _SizeChecked(HTTPMessageDelegate):
    """Refuses a body that says it is too large before any of it is read; Tornado's own answer would say nothing."""

    def __init__(self, inner: HTTPMessageDelegate, connection: HTTPConnection) -> None:
        self._inner = inner
        self._connection = connection
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.finish = inner.finish  # type: ignore[method-assign]
        self.on_connection_close = inner.on_connection_close  # type: ignore[method-assign]

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> Any:
        length = headers.get("Content-Length", "")
        if not (length.isdigit() and int(length) > MAX_BODY_BYTES):
            return self._inner.headers_received(start_line, headers)
        stream: IOStream = self._connection.detach()  # type: ignore[attr-defined]
        detail = f"the body has {length} bytes; send at most {MAX_BODY_BYTES}"
        _say_and_close(stream, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_LARGE, detail)
        return None


def _turn_away(stream: IOStream, limit: int) -> None:
    detail = f"all {limit} connections are taken; try again"
    _say_and_close(stream, HTTPStatus.SERVICE_UNAVAILABLE, Code.RATE_LIMITED, detail)


def _say_and_close(stream: IOStream, status: HTTPStatus, code: Code, detail: str) -> None:
    """Answer without Tornado and end the connection a moment later: at once, the answer would be lost to a sender."""
    body = json.dumps(problem_document(status, code, detail)).encode()
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 10\r\nConnection: close\r\n\r\n"
    )
    stream.write(head.encode() + body)
    asyncio.get_running_loop().call_later(LINGER_S, stream.close)


def _tls(settings: WebSettings) -> ssl.SSLContext | None:
    """Raises `OSError` for a certificate or key that cannot be used."""
    if not settings.tls or settings.cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _log_request(handler: RequestHandler) -> None:
    """One line per request at DEBUG, without the query: what a client writes there is not for logs."""
    status = handler.get_status()
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _EXPECTED else logging.DEBUG
    request = handler.request
    log.log(
        level, "request method=%s path=%s status=%d from=%s", request.method, request.path, status, request.remote_ip
    )


_EXPECTED = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.INSUFFICIENT_STORAGE})
