"""What stands before every handler: who may do what, from which page, under which name, and how refusals look.

Default-deny: a handler declares the methods that it has with the role each needs, and everything else is refused.
`Guard` is mixed in front of a Tornado handler class; it uses `prepare`, never `initialize`.

A page's writes: with a login cookie they carry the XSRF token (`GET /api/session` tells it, and the cookie `_xsrf`) in
the header `X-XSRFToken`; by token, or where nobody needs credentials, they don't.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from edge_agent.core.flood import FloodGuard
from edge_agent.core.model import Code
from edge_agent.web.access import NOBODY, Access, Identity, Via, Wrong
from edge_agent.web.ports import House
from edge_agent.web.problem import CONTENT_TYPE, Problem, code_of, problem_document
from edge_agent.web.tokens import Role
from edge_agent.wire import encode

READS = frozenset({"GET", "HEAD", "OPTIONS"})
XSRF_COOKIE = "_xsrf"
XSRF_HEADER = "X-XSRFToken"
PREFLIGHT_S = 600
RETRY_AFTER_S = 10
_LOCAL_ENDINGS = (".localhost", ".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain")
"""Names that nobody can have on the Internet, where DNS rebinding begins; the same goes for names without a dot."""
_SOCKET_VERSIONS = frozenset({"7", "8", "13"})
"""Those that Tornado knows; they differ in nothing that matters here."""
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)


@dataclass(frozen=True, slots=True)
class Doors:
    """What all guards share. `host_names` are the names under which this machine may be asked for without credentials.

    `cors_origins` are other pages' origins that may call the API, such as `https://fleet.example`. `flood` counts the
    commands of all clients together.
    """

    house: House
    access: Access
    host_names: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = field(default_factory=frozenset)
    flood: FloodGuard = field(default_factory=FloodGuard)


class Guard(RequestHandler):
    """A handler that lets in only whom its `needs` allow: its methods, each with the role that it asks for.

    HEAD needs what GET does.
    """

    needs: ClassVar[Mapping[str, Role]] = {}
    has_head: ClassVar[bool] = True
    """Whether HEAD makes sense; an answer without an end has none."""

    identity: Identity = NOBODY

    @property
    def doors(self) -> Doors:
        doors: Doors = self.settings["doors"]
        return doors

    @property
    def house(self) -> House:
        return self.doors.house

    @property
    def session_cookie(self) -> str:
        """The login cookie's name: cookies know no ports, and several agents may share a host."""
        return f"session_{self.house.device}"

    # -- who comes in -------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        method = str(self.request.method)
        self._check_host()
        if method == "OPTIONS":
            return
        if method not in self.allowed():
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{method} does nothing here; use {', '.join(self.allowed())}",
                headers={"Allow": ", ".join((*self.allowed(), "OPTIONS"))},
            )
        if method not in READS and not self.is_own_page():
            raise Problem(HTTPStatus.FORBIDDEN, "a page of another site may not do this; list it in web.cors_origins")
        self.identity = await self._identify()
        role = self.needs["GET" if method == "HEAD" else method]
        if self.identity.role < role:
            self._refuse(role)
        if method not in READS and self.identity.via is Via.COOKIE and role > Role.ANYONE:
            self._check_xsrf()

    @classmethod
    def allowed(cls) -> tuple[str, ...]:
        """The methods that there are."""
        return (*cls.needs, *(["HEAD"] if "GET" in cls.needs and cls.has_head else []))

    def is_own_page(self) -> bool:
        """Whether the request comes from no page, from a page of this server, or from one that is listed."""
        if self.request.headers.get("Sec-Fetch-Site") == "cross-site" and "Origin" not in self.request.headers:
            return False
        origin = self.request.headers.get("Origin")
        if origin is None or origin in self.doors.cors_origins:
            return True
        try:
            # Behind a proxy that ends TLS the scheme differs, so that only host and port can be compared.
            return urlsplit(origin).netloc.lower() == self.request.host.lower() and origin != "null"
        except ValueError:  # no browser sends such an address
            return False

    def _check_host(self) -> None:
        """Where no credentials are asked for, refuse names that are not this machine's.

        A foreign page may have its own name point here (DNS rebinding); then it counts as ours for the browser, and
        only the name gives it away. With credentials it would have none.
        """
        if self.doors.access.anonymous and not self._is_our_name(self.request.host_name):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"this agent does not answer as {self.request.host_name[:60]!r}; use its address, or set tokens_file",
                Code.FORBIDDEN,
            )

    def _is_our_name(self, name: str) -> bool:
        name = name.lower().removesuffix(".")
        if name in self.doors.host_names or "." not in name or name.endswith(_LOCAL_ENDINGS):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    async def _identify(self) -> Identity:
        access = self.doors.access
        if access.anonymous:
            found = access.by_token("", "")
            return found if isinstance(found, Identity) else NOBODY
        authorization = self.request.headers.get("Authorization")
        if authorization is None:
            return access.by_cookie(self.get_cookie(self.session_cookie) or "") or NOBODY
        return await self.slowed(access.by_header(authorization, str(self.request.remote_ip)))

    async def slowed(self, found: Identity | Wrong) -> Identity:
        """Whom a token shows; one that is wrong is refused, after the time that it costs."""
        if isinstance(found, Identity):
            return found
        if found.locked_s > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many wrong tokens came from your address; wait a while",
                headers={"Retry-After": str(int(found.locked_s) + 1)},
            )
        await asyncio.sleep(found.delay_s)
        raise Problem(HTTPStatus.UNAUTHORIZED, "this token is not known", headers=self._challenge())

    def _refuse(self, role: Role) -> None:
        if self.identity.role > Role.ANYONE:
            raise Problem(
                HTTPStatus.FORBIDDEN, f"{self.identity.name} may look but not operate; use an operator's token"
            )
        if role is Role.VIEWER and self._is_navigation():
            self.redirect(f"/login?next={quote(str(self.request.uri), safe='')}", status=HTTPStatus.SEE_OTHER)
            return
        raise Problem(
            HTTPStatus.UNAUTHORIZED, "send a token (Authorization: Bearer), or log in", headers=self._challenge()
        )

    def _is_navigation(self) -> bool:
        """Whether a person opens this in a browser, and would rather see the login page than a problem."""
        return self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", "")

    def _challenge(self) -> dict[str, str]:
        # A page's own request must not make the browser open its password dialogue.
        of_page = self.request.headers.get("Sec-Fetch-Dest", "document") != "document"
        realm = f'realm="{self.house.device}"'
        return {"WWW-Authenticate": f"Bearer {realm}" if of_page else f"Basic {realm}, Bearer {realm}"}

    def _check_xsrf(self) -> None:
        sent = self.request.headers.get(XSRF_HEADER) or self.request.headers.get("X-CSRFToken") or ""
        if not self.doors.access.is_xsrf_token(self.identity.session, sent):
            raise Problem(HTTPStatus.FORBIDDEN, f"the header {XSRF_HEADER} is missing or old; load the page again")

    # -- what goes out ------------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        self.set_header("Server", "edge-agent")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")
        origin = self.request.headers.get("Origin")
        if self.doors.cors_origins:
            self.set_header("Vary", "Origin")
        if origin in self.doors.cors_origins:
            self.set_header("Access-Control-Allow-Origin", str(origin))
            self.set_header("Access-Control-Expose-Headers", "Content-Range, ETag, Retry-After, WWW-Authenticate")

    def options(self, *_: str) -> None:
        """Which methods there are; to a listed page also that it may use them (CORS preflight)."""
        self.set_status(HTTPStatus.NO_CONTENT)
        self.set_header("Allow", ", ".join((*self.allowed(), "OPTIONS")))
        if self.request.headers.get("Origin") in self.doors.cors_origins:
            self.set_header("Access-Control-Allow-Methods", ", ".join(self.allowed()))
            self.set_header("Access-Control-Allow-Headers", "Authorization, Content-Type, Range, If-Range")
            self.set_header("Access-Control-Max-Age", str(PREFLIGHT_S))

    def head(self, *args: str) -> Any:
        """As GET; Tornado leaves the body out."""
        return getattr(self, "get")(*args)  # noqa: B009 - the mixin's other side has it

    def send_json(self, document: Mapping[str, Any], status: int = HTTPStatus.OK) -> None:
        """Answer with a document."""
        self.set_status(status)
        self.set_header("Content-Type", CONTENT_TYPE if status >= HTTPStatus.BAD_REQUEST else "application/json")
        self.finish(encode(document))

    def problem(self, status: HTTPStatus, code: Code, detail: str) -> None:
        """Refuse with a problem document, and with Retry-After where trying again may help."""
        later = {"Retry-After": str(RETRY_AFTER_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        raise Problem(status, detail, code, later)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """A refusal is the client's matter and no line in the log; anything else is our bug."""
        if not isinstance(error, HTTPError):
            super().log_exception(kind, error, trace)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every error that Tornado or a handler raised, as a problem document."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        code, detail = code_of(status_code), ""
        if isinstance(error, Problem):
            code, detail = error.code, error.detail
            for name, value in error.headers.items():
                self.set_header(name, value)
        elif isinstance(error, HTTPError) and status_code == HTTPStatus.BAD_REQUEST:
            detail = error.get_message() or ""
        elif status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = "the agent failed at this; its log says why"
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join((*self.allowed(), "OPTIONS")))
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(json.dumps(problem_document(status_code, code, detail), ensure_ascii=False))


class GuardedSocket(Guard, WebSocketHandler):
    """A WebSocket that lets in only whom its `needs` allow, and only from pages of this server or a listed one."""

    has_head: ClassVar[bool] = False

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished or self.request.method == "OPTIONS":
            return
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(
                HTTPStatus.UPGRADE_REQUIRED,
                "this is a WebSocket; ask for it as one",
                headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            )
        if not self.is_own_page():
            raise Problem(HTTPStatus.FORBIDDEN, "a page of another site may not listen; list it in web.cors_origins")
        self._check_handshake()

    def _check_handshake(self) -> None:
        """Refuse what Tornado would refuse, too, but without a reason."""
        headers = self.request.headers
        if headers.get("Sec-WebSocket-Version") not in _SOCKET_VERSIONS:
            raise Problem(
                HTTPStatus.UPGRADE_REQUIRED,
                "this WebSocket has version 13 (RFC 6455)",
                headers={"Sec-WebSocket-Version": "13"},
            )
        wishes = {wish.strip().lower() for wish in headers.get("Connection", "").split(",")}
        if "upgrade" not in wishes or not headers.get("Sec-WebSocket-Key"):
            raise Problem(HTTPStatus.BAD_REQUEST, "a WebSocket begins with Connection: Upgrade and a Sec-WebSocket-Key")

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002 - Tornado's signature
        """Whether the page may connect; `prepare` has refused the others already."""
        return self.is_own_page()
