from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from tornado.web import RequestHandler

from edge_agent.config.settings import WebSettings
from edge_agent.core.model import Code
from edge_agent.web.access import Identity
from edge_agent.web.connections import MAX_BODY_BYTES, Limits
from edge_agent.web.pages import read_assets
from edge_agent.web.server import MAX_HEADER_BYTES, Route, make_access, own_names
from edge_agent.web.tokens import TokensUnusable
from tests.fakes.web import PATIENCE_S, Clock, Site, known_tokens, serving, until

OPEN = "0.0.0.0"  # noqa: S104 - configured, not bound
HURRY = Limits(connections=4, header_s=0.3, body_s=0.3)


@asynccontextmanager
async def raw(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the server hangs up."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /api/blackbox/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
        b"POST /api/blackbox/start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_client_that_does_not_go_on_is_sent_away(tmp_path: Path, beginning: bytes) -> None:
    async with serving(tmp_path, limits=HURRY) as site, raw(site) as (reader, writer):
        writer.write(beginning)
        await rest(reader)
        assert not site.driver.commands


async def test_a_header_that_comes_byte_by_byte_gets_no_more_time(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=HURRY) as site, raw(site) as (reader, writer), asyncio.TaskGroup() as tasks:
        hung_up = tasks.create_task(rest(reader), name="rest")
        sent = 0
        for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000:
            writer.write(bytes([byte]))
            sent += 1
            if (await asyncio.wait({hung_up}, timeout=HURRY.header_s / 10))[0]:
                break
        assert hung_up.done()
        assert sent > 1


async def test_beyond_the_limit_a_connection_is_turned_away_with_a_word(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=Limits(connections=2)) as site, raw(site), raw(site) as (first, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in await first.readuntil(b"\r\n\r\n")
        response = await site.fetch("/healthz")
        assert response.code == 503
        assert response.headers["Retry-After"] == "10"
        assert json.loads(response.body)["code"] == "rate_limited"


async def test_places_come_free_again_also_those_of_websockets(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=Limits(connections=3)) as site:
        upgrade = (
            b"GET /api/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with raw(site) as (_, one), raw(site) as (_, two), raw(site) as (_, three):
            for writer in (one, two, three):
                writer.write(upgrade)
            await until(lambda: site.server.pages == 3)
            assert (await site.fetch("/healthz")).code == 503
        await until(lambda: site.server.pages == 0)
        assert (await site.fetch("/healthz")).code == 200


async def test_connections_that_left_tornado_count_too(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=Limits(connections=10)) as site:
        site.server._server.others = lambda: 10
        assert (await site.fetch("/healthz")).code == 503


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, raw(site) as (reader, writer):
        head = f"POST /api/blackbox/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
        writer.write(head.encode())
        answer = await rest(reader)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"
        largest = await site.fetch("/api/blackbox/start", "POST", body=b"x" * MAX_BODY_BYTES)
        assert json.loads(largest.body)["code"] == "too_large"


async def test_a_chunked_body_without_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, raw(site) as (reader, writer):
        writer.write(b"POST /api/blackbox/start HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for _ in range(MAX_BODY_BYTES // 65536 + 4):
            writer.write(chunk)
        answer = await rest(reader)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"
        assert not site.driver.commands


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xb2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\x00c\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
)
async def test_a_request_that_is_none_is_refused_and_the_next_one_served(
    tmp_path: Path, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with serving(tmp_path, limits=Limits(header_s=0.5)) as site:
        async with raw(site) as (reader, writer):
            writer.write(request_)
            answer = await rest(reader)
            assert b" 200 " not in answer.partition(b"\r\n")[0]
            if len(request_) < MAX_HEADER_BYTES:
                assert b"\r\nContent-Type: application/problem+json\r\n" in answer
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] in set(Code)
        assert (await site.fetch("/healthz")).code == 200
    assert caplog.text == ""


async def test_a_handlers_waiting_is_not_cut_off_by_the_time_for_headers(tmp_path: Path) -> None:
    class Slow(RequestHandler):
        async def get(self) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * HURRY.header_s):
                    await asyncio.Event().wait()
            self.finish("at last")

    async with serving(tmp_path, limits=HURRY, more=[Route("/slow", Slow)]) as site:
        assert (await site.fetch("/slow")).body == b"at last"


async def test_the_server_says_where_it_is_and_stops_with_clients_connected(tmp_path: Path) -> None:
    async with serving(tmp_path) as site, raw(site) as (reader, writer):
        assert site.server.url == f"http://127.0.0.1:{site.server.port}/"
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        await site.server.stop()
        await rest(reader)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", site.server.port)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    argv = ["openssl", "req", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return certificate, key


async def test_https_is_spoken_with_the_certificate_of_the_configuration(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    settings = WebSettings(port=0, tls=True, cert_file=certificate[0], key_file=certificate[1])
    async with serving(tmp_path, settings=settings, tokens=known_tokens(tmp_path)) as site:
        assert site.server.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        response = await site.client.fetch(f"{site.server.url}healthz", ssl_options=trusting)
        assert response.body == b"ok\n"
        login = await site.client.fetch(
            f"{site.server.url}login",
            method="POST",
            body="token=the-viewers-own-token",
            ssl_options=trusting,
            follow_redirects=False,
            raise_error=False,
        )
        assert all("Secure" in line for line in login.headers.get_list("Set-Cookie"))
        old = ssl.create_default_context(cafile=str(certificate[0]))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await site.client.fetch(f"{site.server.url}healthz", ssl_options=old)).code == 200


async def test_a_certificate_that_cannot_be_used_is_an_os_error(tmp_path: Path) -> None:
    settings = WebSettings(port=0, tls=True, cert_file=tmp_path / "none.pem", key_file=tmp_path / "none.key")
    with pytest.raises(OSError, match="No such file"):
        async with serving(tmp_path, settings=settings):
            pass


async def test_a_port_that_is_taken_is_an_os_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        with pytest.raises(OSError, match="in use"):
            async with serving(tmp_path, settings=WebSettings(port=site.server.port)):
                pass


def test_without_credentials_only_loopback_is_open(tmp_path: Path) -> None:
    clock = Clock()
    assert make_access(WebSettings(), tmp_path, clock)[0].anonymous
    assert make_access(WebSettings(host="::1"), tmp_path, clock)[0].anonymous
    assert make_access(WebSettings(host=OPEN, allow_anonymous=True), tmp_path, clock)[0].anonymous
    with pytest.raises(TokensUnusable, match=r"web\.tokens_file"):
        make_access(WebSettings.model_construct(**dict(WebSettings()) | {"host": OPEN}), tmp_path, clock)


def test_the_first_start_makes_a_token_and_later_ones_do_not(tmp_path: Path) -> None:
    settings = WebSettings(host=OPEN, tokens_file=tmp_path / "tokens")
    access, token = make_access(settings, tmp_path, Clock())
    assert not access.anonymous
    assert token is not None
    identity = access.by_token(token, "10.0.0.1")
    assert isinstance(identity, Identity)
    again, nothing = make_access(settings, tmp_path, Clock())
    assert nothing is None
    session = access.new_session(identity)
    assert again.by_cookie(session) is not None, "a restart logs nobody out"
    for name in ("tokens", "web-session-secret"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_machines_names_are_its_own_and_those_of_listed_pages() -> None:
    names = own_names(WebSettings(cors_origins=("https://fleet.example:8443",)), "van7")
    assert {"van7", "van7.local", "fleet.example"} <= names


async def test_the_page_is_served_from_memory_compressed_and_checked_by_etag(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>" + "x" * 5000)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "app.js").write_text("export {}")
    (tmp_path / "notes.txt").write_text("not for the browser")
    assets = read_assets(tmp_path)
    assert sorted(assets) == ["deep/app.js", "index.html"]
    index = assets["index.html"]
    assert index.gzipped
    assert len(index.kept) < 200
    assert gzip.decompress(index.kept) == index.content == (tmp_path / "index.html").read_bytes()


async def test_a_page_file_that_is_not_there_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for path in ("../server.py", "%2e%2e/server.py", "nothing.js", "/etc/passwd"):
            assert (await site.fetch(f"/static/{path}")).code == 404
