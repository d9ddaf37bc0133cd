"""The web server: which path goes to whom, and the limits that keep viewers from outranking recordings.

Nothing is served but what stands in the route table, and every handler there is a `Guard`.
"""

from __future__ import annotations

import asyncio
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

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from edge_agent.config.settings import WebSettings
from edge_agent.config.values import is_loopback
from edge_agent.core.model import Now
from edge_agent.web import api, files, history, login, metrics, pages, settings, snapshots, verify
from edge_agent.web.access import Access
from edge_agent.web.connections import MAX_BODY_BYTES, MAX_DROPPED_BYTES, LimitedServer, Limits, listen
from edge_agent.web.description import Description, OpenApi
from edge_agent.web.feed import Feed, Page
from edge_agent.web.guard import Doors, Guard, GuardedSocket
from edge_agent.web.tokens import Role, TokensUnusable, create_tokens, read_tokens, session_secret

STOP_S = 3.0
PING_S = 20.0
MAX_HEADER_BYTES = 128 * 1024
"""Room for a Range of 10,000 parts, so that it is refused by name; beyond it Tornado hangs up without a word."""
MAX_MESSAGE_BYTES = 64 * 1024
"""What a page may say through a WebSocket: nothing that needs more."""
SECRET_NAME = "web-session-secret"  # noqa: S105 - the name of a file

log = logging.getLogger(__name__)


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
        Route(r"/api/verify/(.+)", verify.Verify),
        Route(r"/api/snapshots", snapshots.Snapshots),
        Route(r"/api/settings", settings.Settings),
        Route(r"/api/clip", files.Clip),
        Route(r"/api/live", Page, {"feed": feed}),
        Route(r"/api/history", history.Past, {"feed": feed}),
        Route(r"/api/openapi\.json", OpenApi, {"description": Description()}),
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
        others: Callable[[], int] = int,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._settings = settings
        self._feed = feed
        self._address = ("", 0)
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
            max_body_size=MAX_DROPPED_BYTES,
            max_header_size=MAX_HEADER_BYTES,
            max_buffer_size=2 * MAX_BODY_BYTES,
        )
        self._server.limits = limits
        self._server.others = lambda: feed.pages + others()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page; valid after `start`."""
        host, port = self._address
        if host in ("0.0.0.0", "::"):  # noqa: S104 - read, not bound
            host = socket.gethostname()
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self._settings.tls else 'http'}://{name}:{port}/"

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def pages(self) -> int:
        """How many pages listen on the WebSocket."""
        return self._feed.pages

    def start(self) -> None:
        """Listen. Raises `OSError`, for a port that is taken as for a name that is none."""
        sockets = listen(self._settings.host, self._settings.port)
        self._address = sockets[0].getsockname()[:2]
        self._feed.start()
        self._server.add_sockets(sockets)
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
