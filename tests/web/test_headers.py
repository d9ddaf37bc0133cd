"""No value of any header that is read makes the server fail, whoever sends it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from tests.fakes.web import OPERATOR, known_tokens, segment, serving

HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Method",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Expect",
    "Host",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "Origin",
    "Range",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Site",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Transfer-Encoding",
    "Upgrade",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Real-Ip",
    "X-XSRFToken",
)
VALUES = (
    b"",
    b"[",
    b"http://[",
    b"https://[x]/",
    b"\xb2",
    b"\xff\xfe\x80",
    b"\xed\xa0\x80",
    b"-1",
    b"9" * 5000,
    b"bytes=" + b"9" * 4400 + b"-",
    b"bytes=--1",
    b"a=b; \x22; =; session_blackbox=a.b.c.d; _xsrf=\xb2",
    b"session_blackbox=admin.\xb2.x",
    b"multipart/form-data; boundary=",
    b"multipart/form-data; boundary=\xb2",
    b"text/html; charset=nonsense",
    b"application/json; charset=utf-7",
    b"permessage-deflate; server_max_window_bits=\xb2",
    b"gzip",
    b"chunked",
    b"websocket",
    b"localhost:port",
    b"%00%ff:\xb2",
    b"; ,; ,=,;",
)
REQUESTS = (
    ("GET", "/"),
    ("GET", f"/recordings/{segment(15).path}"),
    ("GET", "/api/live"),
    ("GET", "/static/app.js"),
    ("OPTIONS", "/api/blackbox/start"),
    ("POST", "/api/blackbox/ping"),
    ("GET", "/login"),
    ("POST", "/logout"),
)
UPGRADE = {
    "Upgrade": b"websocket",
    "Connection": b"Upgrade",
    "Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": b"13",
}


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("trusted", [False, True], ids=["stranger", "operator"])
async def test_no_header_makes_the_server_fail(
    tmp_path: Path, method: str, path: str, trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    usual: dict[str, bytes] = {"Host": b"localhost", "Connection": b"close", "Content-Length": b"0"}
    usual |= {"Authorization": f"Bearer {OPERATOR}".encode()} if trusted else {}
    usual |= UPGRADE if path == "/api/live" else {}
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        site.recordings.store(15, b"footage")
        for name in HEADERS:
            for value in VALUES:
                head = b"".join(key.encode() + b": " + told + b"\r\n" for key, told in (usual | {name: value}).items())
                reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
                writer.write(f"{method} {path} HTTP/1.1\r\n".encode() + head + b"\r\n")
                answer = await asyncio.wait_for(reader.read(2000), 20)
                writer.transport.abort()
                assert not answer.startswith(b"HTTP/1.1 5"), (name, value, answer)
                assert caplog.text == "", (name, value)
        assert (await site.fetch("/healthz")).code == 200
