"""Logging in by browser: a page that asks for a token and gives a cookie for it, and who one is."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import ClassVar

from edge_agent.web.access import SESSION_S, Identity, Via
from edge_agent.web.guard import XSRF_COOKIE, XSRF_HEADER, Guard
from edge_agent.web.problem import Problem
from edge_agent.web.tokens import Role

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{device} - log in</title>
<link rel="stylesheet" href="/login.css">
<main>
<h1>{device}</h1>
<form method="post" action="/login">
{message}
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input name="next" type="hidden" value="{next}">
<button>Log in</button>
</form>
</main>
</html>
"""
_STYLE = """\
:root { font: 100%/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { width: min(20rem, 90vw) }
h1 { font-size: 1.5rem; overflow-wrap: anywhere }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
input, button { min-height: 2.75rem; margin: .25rem 0 1rem; padding: 0 .75rem; border-radius: .5rem }
input { border: 1px solid GrayText }
button { border: 0; background: #0b57d0; color: #fff; cursor: pointer }
.wrong { color: #b3261e; font-weight: 600 }
@media (prefers-color-scheme: dark) { .wrong { color: #f2b8b5 } }
"""


class LoginStyle(Guard):
    """The look of the login page; public like it."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.ANYONE}

    def get(self) -> None:
        self.set_header("Content-Type", "text/css; charset=utf-8")
        self.set_header("Cache-Control", "max-age=86400")
        self.finish(_STYLE)


class Login(Guard):
    """`GET /login` shows the form, `POST /login` takes the token and sets the cookies."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.ANYONE, "POST": Role.ANYONE}

    def get(self) -> None:
        self._show(HTTPStatus.OK, "")

    async def post(self) -> None:
        if self.doors.access.anonymous:
            self.redirect(self._next(), status=HTTPStatus.SEE_OTHER)
            return
        token = self.get_body_argument("token", "")
        try:
            identity = await self.slowed(self.doors.access.by_token(token, str(self.request.remote_ip)))
        except Problem as problem:
            for name, value in problem.headers.items():
                if name == "Retry-After":
                    self.set_header(name, value)
            self._show(HTTPStatus(problem.status_code), problem.detail)
            return
        self._let_in(identity)
        self.redirect(self._next(), status=HTTPStatus.SEE_OTHER)

    def _let_in(self, identity: Identity) -> None:
        session = self.doors.access.new_session(identity)
        secure = self.request.protocol == "https"
        self.set_cookie(
            self.session_cookie, session, path="/", httponly=True, samesite="Strict", secure=secure, max_age=SESSION_S
        )
        self.set_cookie(
            XSRF_COOKIE,
            self.doors.access.xsrf_token(session),
            path="/",
            samesite="Strict",
            secure=secure,
            max_age=SESSION_S,
        )

    def _next(self) -> str:
        """Where to go after: a path of this server, whatever the link that led here says."""
        wanted = self.get_argument("next", "/")
        plain = wanted.isprintable() and "\\" not in wanted and wanted.startswith("/") and not wanted.startswith("//")
        return wanted if plain else "/"

    def _show(self, status: HTTPStatus, message: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        told = f'<p class="wrong" role="alert">{escape(message)}</p>' if message else ""
        self.finish(_PAGE.format(device=escape(self.house.device), message=told, next=escape(self._next())))


class Logout(Guard):
    """`POST /logout` takes the cookies back, also from who has kept a copy."""

    needs: ClassVar[Mapping[str, Role]] = {"POST": Role.VIEWER}

    def post(self) -> None:
        if self.identity.via is Via.COOKIE:
            self.doors.access.end_session(self.identity.session)
        self.clear_cookie(self.session_cookie, path="/", httponly=True, samesite="Strict")
        self.clear_cookie(XSRF_COOKIE, path="/", samesite="Strict")
        self.set_status(HTTPStatus.NO_CONTENT)


class Session(Guard):
    """`GET /api/session`: who one is, and what the page has to send with its writes."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def get(self) -> None:
        by_cookie = self.identity.via is Via.COOKIE
        self.send_json(
            {
                "v": 1,
                "name": self.identity.name,
                "role": self.identity.role.name.lower(),
                "anonymous": self.doors.access.anonymous,
                "xsrf_header": XSRF_HEADER if by_cookie else None,
                "xsrf_token": self.doors.access.xsrf_token(self.identity.session) if by_cookie else None,
            }
        )
