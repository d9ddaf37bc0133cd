"""Requests of all kinds against a real server: every answer is one that the OpenAPI document describes."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge_agent.core.commands import Verb
from edge_agent.web.openapi import openapi
from tests.fakes.web import Site, known_tokens, segment, serving

DOCUMENT = openapi("0.1.0")
ANY_SPEED = settings(suppress_health_check=list(HealthCheck))

words = st.one_of(
    st.sampled_from(["cam0", "dual-640", "10m", "ON", "2026-11-23T09:15:00Z", "", "0", "-1", "1e999", "../..", "%00"]),
    st.text(max_size=12),
)
values = st.one_of(words, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(words, max_size=3))
keys = st.sampled_from(["id", "ts", "ttl", "at", "mode", "cameras", "resolution", "duration", "label", "from", "to"])
bodies = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(keys, values, max_size=4).map(lambda body: json.dumps(body).encode()),
    words.map(lambda text: text.encode("utf-8", "surrogatepass")),
)
paths = st.one_of(
    st.sampled_from(["", segment(15).path, segment(15).path.replace("mp4", "jpg"), "../../etc/passwd", "x" * 3000]),
    st.text(max_size=30),
    st.binary(max_size=20),
)
header_values = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
)


def request(
    port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    """Status, media type and body of one request on its own connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read()
    finally:
        connection.close()


def check_described(described: str, method: str, answer: tuple[int, str, bytes]) -> None:
    """Hold an answer against the document; a crash is never described."""
    status, kind, body = answer
    assert status < 500, body
    responses: dict[str, Any] = DOCUMENT["paths"][described][method]["responses"]
    told = responses.get(str(status), responses["default"])
    if "$ref" in told:
        assert status >= 400
        told = DOCUMENT["components"]["responses"]["problem"]
    if "content" not in told:
        assert body == b""
        return
    content = told["content"].get(kind) or told["content"]["*/*"]
    if "json" in kind:
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(json.loads(body))


async def in_thread(folder: Path, check: Callable[[Site], None]) -> None:
    """Run a check that blocks against a server with one recording."""
    async with serving(folder) as site:
        site.recordings.store(15, b"content")
        await asyncio.to_thread(check, site)
        assert (await site.fetch("/healthz")).code == 200


async def test_any_body_of_any_verb_gets_a_described_answer(tmp_path: Path) -> None:
    def check(site: Site) -> None:
        @ANY_SPEED
        @given(
            st.sampled_from(list(Verb)),
            bodies,
            st.sampled_from(
                ["application/json", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]
            ),
        )
        def one(verb: Verb, body: bytes, kind: str) -> None:
            site.clock.turn(1)  # else it would count as a flood
            path = f"/api/blackbox/{verb}"
            check_described(path, "post", request(site.server.port, "POST", path, body, {"Content-Type": kind}))

        one()

    await in_thread(tmp_path, check)


async def test_any_filter_gets_a_described_answer(tmp_path: Path) -> None:
    def check(site: Site) -> None:
        names = st.sampled_from(["camera", "mode", "from", "to", "locked", "label", "limit", "cursor", "sort"])

        @ANY_SPEED
        @given(st.sampled_from(["/api/recordings", "/api/clip"]), st.dictionaries(names, words, max_size=4))
        def one(path: str, query: dict[str, str]) -> None:
            encoded = urlencode(query, errors="surrogatepass")
            check_described(path, "get", request(site.server.port, "GET", f"{path}?{encoded}"))

        one()

    await in_thread(tmp_path, check)


async def test_any_path_and_range_gets_a_described_answer_from_the_archive(tmp_path: Path) -> None:
    def check(site: Site) -> None:
        @ANY_SPEED
        @given(
            paths, header_values, st.sampled_from(["Range", "If-Range", "If-None-Match", "Accept", "Cookie", "Origin"])
        )
        @example(segment(15).path, "bytes=0-3", "Range")
        def one(path: str | bytes, value: str, header: str) -> None:
            quoted = quote(path, errors="surrogatepass") if isinstance(path, str) else quote(path)
            answer = request(site.server.port, "GET", f"/recordings/{quoted or 'x'}", headers={header: value})
            check_described("/recordings/{path}", "get", answer)

        one()

    await in_thread(tmp_path, check)


async def test_any_credentials_are_known_or_not_and_never_a_crash(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        port = site.server.port

        def check() -> None:
            @ANY_SPEED
            @given(st.sampled_from(["Authorization", "Cookie", "Host", "Origin"]), header_values)
            @example("Authorization", "Basic " + "A" * 5000)
            @example("Cookie", "session_van7=" + "." * 5000)
            def one(header: str, value: str) -> None:
                site.clock.turn(4000)  # else the brake would make the test wait
                status, _, _ = request(port, "GET", "/api/blackbox/status", headers={header: value})
                assert status in (400, 401)

            one()

        await asyncio.to_thread(check)
