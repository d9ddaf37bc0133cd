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
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{device} - {enter}</title>
<link rel="stylesheet" href="/login.css">
<link rel="icon" href="data:,">
<main>
<h1>{device}</h1>
<form method="post" action="/login">
{message}
<label for="token">{token}</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<p>{where}</p>
<input name="next" type="hidden" value="{next}">
<button>{enter}</button>
</form>
</main>
</html>
"""
_STYLE = """\
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; background: #f5f6f7; color: #171c20 }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; word-break: keep-all; overflow-wrap: anywhere }
main { box-sizing: border-box; width: min(22rem, calc(100vw - 2rem)); padding: 1.5rem; background: #fff;
  border: 1px solid #dbe0e4; border-radius: .75rem }
h1 { font-size: 1.25rem; margin: 0 0 1rem }
p { margin: .5rem 0 1rem; font-size: .875rem; color: #545f69 }
label { font-size: .875rem; color: #545f69 }
input, button { display: block; width: 100%; box-sizing: border-box; min-height: 2.75rem; border-radius: .5rem }
input, button { font: inherit }
input { margin-top: .25rem; padding: 0 .75rem; border: 1px solid #868f97; background: none; color: inherit }
button { border: 0; background: #0b6380; color: #fff; font-weight: 500; cursor: pointer }
:focus-visible { outline: 2px solid #0b6380; outline-offset: 2px }
.wrong { color: #b3212b; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  :root { background: #101417; color: #e7ebee }
  main { background: #181e22; border-color: #2a3238 }
  p, label { color: #9aa6b0 }
  button { background: #5cbcd8; color: #06222c }
  :focus-visible { outline-color: #5cbcd8 }
  .wrong { color: #ff8f8f }
}
"""
_WORDS = {
    "en": {
        "enter": "Log in",
        "token": "Token",
        "where": "The agent showed one at its first start; its tokens file says who may come in.",
    },
    "ko": {
        "enter": "로그인",
        "token": "토큰",
        "where": "에이전트가 처음 시작할 때 보여 준 토큰을 입력하세요. 누가 들어올 수 있는지는 토큰 파일에 있습니다.",
    },
}


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
            if (later := problem.headers.get("Retry-After")) is not None:
                self.set_header("Retry-After", later)
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
        told = f'<p class="wrong" role="alert" lang="en">{escape(message)}</p>' if message else ""
        lang = "ko" if self.request.headers.get("Accept-Language", "").lower().startswith("ko") else "en"
        self.set_header("Vary", "Accept-Language")
        self.finish(
            _PAGE.format(
                device=escape(self.house.device), message=told, next=escape(self._next()), lang=lang, **_WORDS[lang]
            )
        )


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
