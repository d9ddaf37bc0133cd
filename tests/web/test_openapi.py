from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tornado.httpclient import HTTPResponse

from edge_agent.core.commands import Verb
from edge_agent.core.model import Code
from edge_agent.web import pages
from edge_agent.web.feed import Feed
from edge_agent.web.guard import Guard
from edge_agent.web.openapi import openapi
from edge_agent.web.server import guarded, routes
from tests.fakes.web import Site, known_tokens, segment, serving

DOCUMENT = openapi("0.1.0")
OF_THE_PAGE = {"/", r"/static/(.+)", "/login", r"/login\.css", "/logout"}


def described() -> set[tuple[str, str]]:
    """Every method and path of the document, as a request would name them."""
    return {
        (method.upper(), path.replace("{path}", "x/y.mp4").replace("{camera}", "cam0"))
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }


def test_every_route_of_the_api_is_described_and_nothing_else_but_live_view() -> None:
    served: set[tuple[str, str]] = set()
    patterns = [route for route in routes(Feed({}), pages.read_assets()) if route.path not in OF_THE_PAGE]
    for method, path in described():
        for route in patterns:
            handler = guarded(route.handler)
            assert issubclass(handler, Guard)
            if re.fullmatch(route.path, path) and method in handler.needs:
                served.add((method, path))
                break
    live = {("GET", f"/{kind}/cam0{ending}") for kind, ending in (("stream", ""), ("snapshot", ".jpg"), ("video", ""))}
    assert described() - served == live
    for route in patterns:
        handler = guarded(route.handler)
        assert issubclass(handler, Guard)
        assert any(
            re.fullmatch(route.path, path) and method == needed
            for method, path in described()
            for needed in handler.needs
        ), f"{route.path} is not described"


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_no_reference_leads_nowhere_and_every_operation_has_a_name_of_its_own() -> None:
    for reference in references(DOCUMENT):
        at: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]
    names = [
        operation["operationId"]
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(names) == len(set(names))
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def fits(response: HTTPResponse, path: str, method: str = "get") -> bool:
    """Whether an answer is one that the document describes."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    answer = responses.get(str(response.code)) or responses["default"]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["responses"]["problem"]
    kind = response.headers["Content-Type"].partition(";")[0]
    schema = {**answer["content"][kind]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(json.loads(response.body))
    return True


@pytest.mark.parametrize("verb", Verb)
async def test_what_a_command_answers_is_what_is_described(verb: Verb, tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for code in Code:
            site.driver.code = code
            site.clock.turn(1)
            assert fits(await site.fetch(f"/api/blackbox/{verb}", "POST"), f"/api/blackbox/{verb}", "post")


@pytest.mark.parametrize("verb", Verb)
async def test_the_text_that_a_command_takes_is_described(verb: Verb, tmp_path: Path) -> None:
    described = DOCUMENT["paths"][f"/api/blackbox/{verb}"]["post"]["requestBody"]["content"]
    schema = {**described["application/json"]["schema"], "components": DOCUMENT["components"]}
    async with serving(tmp_path) as site:
        taken = {}
        for text in ('"10m"', '"ON"', '"cam0"', "90", "true"):
            site.clock.turn(1)
            answer = await site.fetch(f"/api/blackbox/{verb}", "POST", body=text)
            taken[text] = answer.code == 200
            assert not taken[text] or Draft202012Validator(schema).is_valid(json.loads(text))
    assert any(taken.values()) == ("text/plain" in described)


async def test_what_reads_answer_is_what_is_described(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.recordings.segments.append(segment(15))
        for path in (
            "/api/blackbox/status",
            "/api/system/info",
            "/api/session",
            "/api/history",
            "/api/settings",
            "/api/snapshots",
            "/api/recordings",
            "/api/openapi.json",
        ):
            assert fits(await site.fetch(path), path)
        assert fits(await site.fetch("/api/recordings?limit=0"), "/api/recordings")


async def test_what_a_stranger_hears_is_what_is_described(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        assert fits(await site.fetch("/api/blackbox/start", "POST"), "/api/blackbox/start", "post")
        assert fits(await site.fetch("/api/recordings"), "/api/recordings")


async def served_document(site: Site) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((await site.fetch("/api/openapi.json")).body)
    return document


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        document = await served_document(site)
        assert document["openapi"] == "3.1.0"
        assert document == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize(("program", "status"), [("/nowhere/python", 503), ("/bin/false", 500)])
async def test_a_description_that_cannot_be_made_is_made_when_it_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, status: int
) -> None:
    async with serving(tmp_path) as site:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", program)
            refused = await site.fetch("/api/openapi.json")
        assert refused.code == status
        assert "description" in json.loads(refused.body)["detail"]
        assert refused.headers.get("Retry-After") == ("10" if status == 503 else None)
        assert (await site.fetch("/api/openapi.json")).code == 200
