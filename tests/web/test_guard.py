from __future__ import annotations

import base64
import json
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.web import RequestHandler
from tornado.websocket import websocket_connect

from edge_agent.config.settings import WebSettings
from edge_agent.web import pages
from edge_agent.web.feed import Feed
from edge_agent.web.guard import Guard
from edge_agent.web.server import Route, guarded, routes
from edge_agent.web.tokens import Role
from tests.fakes.web import OPERATOR, VIEWER, Site, known_tokens, serving, until

TABLE = routes(Feed({}), pages.read_assets())
PUBLIC = {"/login", r"/login\.css", "/healthz"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def sample(pattern: str) -> str:
    """A path that the route's pattern matches."""
    path = re.sub(r"\(\[\^/\][*+]\)", "ping", pattern)
    return path.replace("(.+)", "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4").replace("\\", "")


def needs(route: Route) -> dict[str, Role]:
    handler = guarded(route.handler)
    assert issubclass(handler, Guard)
    known = dict(handler.needs)
    return known | ({"HEAD": known["GET"]} if "HEAD" in handler.allowed() else {})


def problem(response: HTTPResponse) -> dict[str, Any]:
    """The problem document of a refusal, with what every one has to have."""
    assert response.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(response.body)
    assert document["status"] == response.code
    assert document["v"] == 1
    assert document["detail"]
    assert document["code"]
    return document


@pytest.mark.parametrize("route", TABLE, ids=lambda route: route.path)
async def test_every_route_refuses_a_stranger_and_whoever_may_less_than_it_asks(route: Route, tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        for method in METHODS:
            path = sample(route.path)
            role = needs(route).get(method)
            stranger = await site.fetch(path, method)
            viewer = await site.fetch(path, method, token=VIEWER)
            if role is None:
                assert stranger.code == viewer.code == 405
                assert method not in stranger.headers["Allow"].split(", ")
            elif role is Role.ANYONE:
                assert route.path in PUBLIC
                assert "problem" not in stranger.headers["Content-Type"]
            else:
                assert stranger.code == 401
                assert (viewer.code == 403) is (role is Role.OPERATOR)
            assert not site.driver.commands


async def test_a_path_that_is_not_there_looks_like_any_other_to_a_stranger(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        assert (await site.fetch("/etc/passwd")).code == 401
        assert problem(await site.fetch("/etc/passwd", token=VIEWER))["code"] == "not_found"
        assert (await site.fetch("/api/nothing", "DELETE", token=OPERATOR)).code == 404


async def test_a_handler_that_is_no_guard_is_put_behind_one(tmp_path: Path) -> None:
    class Bare(RequestHandler):
        def get(self) -> None:
            self.finish("seen")

    async with serving(tmp_path, tokens=known_tokens(tmp_path), more=[Route("/bare", Bare)]) as site:
        assert (await site.fetch("/bare")).code == 401
        assert (await site.fetch("/bare", token=VIEWER)).body == b"seen"
        assert (await site.fetch("/bare", "HEAD", token=VIEWER)).code == 405


async def test_a_method_that_tornado_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        response = await site.fetch("/healthz", "TRACE")
        assert response.code == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_basic_with_the_token_as_password_lets_home_assistant_in(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        pair = base64.b64encode(f"ha:{VIEWER}".encode()).decode()
        assert (await site.fetch("/api/session", Authorization=f"Basic {pair}")).code == 200
        refused = await site.fetch("/api/session")
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="van7", Bearer realm="van7"'
        from_page = await site.fetch("/api/session", Sec_Fetch_Dest="empty")
        assert "Basic" not in from_page.headers["WWW-Authenticate"], "the browser would ask for a password"


async def test_a_person_is_led_to_the_login_page_and_back(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        response = await site.fetch("/?camera=cam0", Accept="text/html")
        assert response.code == 303
        assert response.headers["Location"] == "/login?next=%2F%3Fcamera%3Dcam0"


async def test_wrong_tokens_are_slowed_then_locked_and_named_in_the_answer(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        for _ in range(5):
            assert problem(await site.fetch("/api/session", token="wrong"))["status"] == 401
        site.clock.turn(120)
        for number in range(14):
            site.clock.turn(60 if number % 4 == 3 else 0)
            assert (await site.fetch("/api/session", token="wrong")).code == 401
        assert (await site.fetch("/api/session", token="wrong")).code == 401
        locked = await site.fetch("/api/session", token=VIEWER)
        assert problem(locked)["code"] == "rate_limited"
        assert int(locked.headers["Retry-After"]) > 60


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"]
)
async def test_another_name_for_this_machine_is_refused_where_no_credentials_protect_it(
    tmp_path: Path, name: str
) -> None:
    async with serving(tmp_path) as site:
        for method, path in (("GET", "/api/blackbox/status"), ("POST", "/api/blackbox/start"), ("GET", "/")):
            assert problem(await site.fetch(path, method, Host=name))["status"] == 421
        assert not site.driver.commands


@pytest.mark.parametrize(
    "name",
    ["localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:8080", "van7", "van7.local.", "10.0.0.7", "pi.lan", "pi"],
)
async def test_this_machines_own_names_and_addresses_are_taken(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path) as site:
        assert (await site.fetch("/api/blackbox/status", Host=name)).code == 200


async def test_behind_a_proxy_with_credentials_any_name_will_do(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        assert (await site.fetch("/api/session", token=VIEWER, Host="cams.example")).code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Origin": "http://[127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_another_sites_page_may_not_write(tmp_path: Path, headers: dict[str, str]) -> None:
    async with serving(tmp_path) as site:
        assert problem(await site.fetch("/api/blackbox/start", "POST", **headers))["code"] == "forbidden"
        segment = "/api/recordings/640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4"
        assert (await site.fetch(segment, "DELETE", **headers)).code == 403
        assert not site.driver.commands


async def test_our_own_page_a_listed_one_and_no_page_may_write(tmp_path: Path) -> None:
    settings = WebSettings(port=0, cors_origins=("https://fleet.example",))
    async with serving(tmp_path, settings=settings) as site:
        for headers in ({}, {"Origin": site.origin}, {"Origin": "https://fleet.example"}):
            assert (await site.fetch("/api/blackbox/ping", "POST", **headers)).code == 200
        assert len(site.driver.commands) == 3


async def test_only_a_listed_origin_gets_cors_headers_also_on_refusals(tmp_path: Path) -> None:
    settings = WebSettings(port=0, cors_origins=("https://fleet.example",))
    async with serving(tmp_path, settings=settings, tokens=known_tokens(tmp_path)) as site:
        listed = await site.fetch("/api/session", Origin="https://fleet.example")
        assert listed.code == 401
        assert listed.headers["Access-Control-Allow-Origin"] == "https://fleet.example"
        other = await site.fetch("/api/session", Origin="https://evil.example")
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"
        preflight = await site.fetch(
            "/api/blackbox/start", "OPTIONS", Origin="https://fleet.example", Access_Control_Request_Method="POST"
        )
        assert preflight.code == 204
        assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        unlisted = await site.fetch("/api/blackbox/start", "OPTIONS", Origin="https://evil.example")
        assert "Access-Control-Allow-Methods" not in unlisted.headers


async def log_in(site: Site, token: str = OPERATOR, **more: str) -> dict[str, str]:
    """The cookies of a login by form."""
    response = await site.fetch(
        "/login", "POST", body=f"token={token}", Content_Type="application/x-www-form-urlencoded", **more
    )
    assert response.code == 303, response.body
    pairs = [line.partition(";")[0].partition("=") for line in response.headers.get_list("Set-Cookie")]
    return {name: value for name, _, value in pairs}


def as_header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def test_a_login_gives_a_cookie_that_scripts_cannot_read_and_other_sites_do_not_send(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        response = await site.fetch("/login", "POST", body=f"token={OPERATOR}&next=/x%3Fy=1")
        assert (response.code, response.headers["Location"]) == (303, "/x?y=1")
        session, xsrf = response.headers.get_list("Set-Cookie")
        assert session.startswith("session_van7=")
        assert "HttpOnly" in session
        assert "SameSite=Strict" in session
        assert "Secure" not in session, "over HTTP the browser would not keep it"
        assert "SameSite=Strict" in xsrf


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", "\\\\e"]
)
async def test_a_login_leads_to_no_other_site(tmp_path: Path, wanted: str) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        response = await site.fetch("/login", "POST", body=f"token={OPERATOR}&next={quote(wanted, safe='')}")
        assert response.headers["Location"] == "/"


async def test_a_wrong_token_shows_the_form_again_with_the_reason(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        response = await site.fetch("/login", "POST", body="token=wrong&next=/%22%3E%3Cscript%3E")
        assert response.code == 401
        assert b"not known" in response.body
        assert b"<script>" not in response.body
        assert "Set-Cookie" not in response.headers
        assert "WWW-Authenticate" not in response.headers
        assert (await site.fetch("/login", "POST", body="token=x", Origin="https://evil.example")).code == 403
        form = (await site.fetch("/login")).body
        assert b'name="token"' in form
        assert b'<link rel="icon" href="data:,">' in form, "a browser asks for /favicon.ico, which is not for strangers"


async def test_writes_by_cookie_need_the_xsrf_token_and_reads_do_not(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        cookies = await log_in(site)
        cookie = as_header(cookies)
        code, told = await site.document("/api/session", Cookie=cookie)
        assert (code, told["role"], told["name"]) == (200, "operator", "hand")
        assert told["xsrf_token"] == cookies["_xsrf"]
        without = await site.fetch("/api/blackbox/start", "POST", Cookie=cookie)
        assert problem(without)["code"] == "forbidden"
        wrong = await site.fetch("/api/blackbox/start", "POST", Cookie=cookie, X_XSRFToken="0" * 64)
        assert wrong.code == 403
        assert not site.driver.commands
        right = await site.fetch("/api/blackbox/start", "POST", Cookie=cookie, X_XSRFToken=told["xsrf_token"])
        assert right.code == 200
        assert site.driver.commands[0].by == "hand"


async def test_a_viewers_cookie_does_not_operate_even_with_its_xsrf_token(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        cookies = await log_in(site, VIEWER)
        refused = await site.fetch(
            "/api/blackbox/stop", "POST", Cookie=as_header(cookies), X_XSRFToken=cookies["_xsrf"]
        )
        assert problem(refused)["status"] == 403


async def test_logging_out_takes_the_cookies_back(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        cookies = await log_in(site)
        response = await site.fetch("/logout", "POST", Cookie=as_header(cookies), X_XSRFToken=cookies["_xsrf"])
        assert response.code == 204
        assert all('=""' in line for line in response.headers.get_list("Set-Cookie"))
        kept = await site.fetch("/api/session", Cookie=as_header(cookies))
        assert kept.code == 401, "a copy of the cookie is worth nothing any more"


async def test_a_wrong_header_is_not_made_good_by_a_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        cookies = await log_in(site)
        assert (await site.fetch("/api/session", token="wrong", Cookie=as_header(cookies))).code == 401


async def test_answers_tell_the_browser_to_trust_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for path in ("/healthz", "/nothing", "/login", "/api/blackbox/status"):
            headers = (await site.fetch(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
            assert "Tornado" not in headers["Server"]


async def test_a_websocket_asks_for_credentials_and_for_a_page_of_ours(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        address = site.origin.replace("http", "ws") + "/api/live"

        async def refusal(**headers: str) -> int:
            with pytest.raises(HTTPClientError) as caught:
                await websocket_connect(HTTPRequest(address, headers=headers))
            return caught.value.code

        bearer = f"Bearer {VIEWER}"
        assert await refusal() == 401
        assert await refusal(Authorization=bearer, Origin="https://evil.example") == 403
        assert await refusal(Authorization=bearer, Origin="null") == 403
        assert await refusal(Authorization=bearer, Origin="http://[") == 403
        for headers in ({}, {"Origin": site.origin}):
            socket = await websocket_connect(HTTPRequest(address, headers={"Authorization": bearer} | headers))
            socket.close()
        plain = await site.fetch("/api/live", token=VIEWER)
        assert plain.code == 426
        assert plain.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec-WebSocket-Version": "12"}, 426),
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Connection": "keep-alive"}, 400),
    ],
)
async def test_a_handshake_that_is_wrong_is_refused_with_a_reason(
    tmp_path: Path, changed: dict[str, str | None], status: int
) -> None:
    right = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "a" * 24,
    }
    async with serving(tmp_path) as site:
        headers = {name: value for name, value in (right | changed).items() if value is not None}
        answer = await site.fetch("/api/live", **headers)
        assert answer.code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert json.loads(answer.body)["code"] == "malformed"


async def test_a_bug_is_answered_without_its_details(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RequestHandler):
        def get(self) -> None:
            raise KeyError("a secret detail")

    async with serving(tmp_path, more=[Route("/broken", Broken)]) as site:
        told = problem(await site.fetch("/broken"))
        assert told["code"] == "internal"
        assert "secret" not in json.dumps(told)
    assert "a secret detail" in caplog.text


async def test_what_clients_do_wrong_fills_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        await until(lambda: caplog.records)
        caplog.clear()
        await site.fetch("/recordings/%ff", token=VIEWER)
        await site.fetch("/api/blackbox/start", "POST", body="x", Content_Type="multipart/form-data", token=OPERATOR)
        await site.fetch("/api/session", "PATCH")
        await site.fetch("/nothing", token="wrong")
        assert caplog.text == ""


async def test_no_secret_of_a_request_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        await site.fetch("/api/session?token=in-the-query", token=VIEWER)
        await site.fetch("/api/session", token="a-wrong-token")
        await log_in(site)
    for secret in ("in-the-query", VIEWER, OPERATOR, "a-wrong-token"):
        assert secret not in caplog.text
