from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.core.commands import Origin, Start
from edge_agent.core.flood import COMMAND_BURST
from edge_agent.core.model import Code
from edge_agent.latest import Latest
from edge_agent.web.problem import STATUS_OF
from tests.fakes.web import OPERATOR, STATUS, known_tokens, serving


async def test_a_command_goes_through_the_door_and_its_result_comes_back(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        code, result = await site.document(
            "/api/blackbox/start", "POST", body='{"mode":"dual-640","duration":"10m","id":"01JB7"}', token=OPERATOR
        )
        assert code == 200
        assert result == {
            "v": 1,
            "id": "01JB7",
            "verb": "start",
            "status": "succeeded",
            "code": "ok",
            "message": "done",
            "device": "van7",
            "at": "2026-11-23T09:15:00Z",
            "took_ms": 5,
            "duplicate": False,
            "warnings": [],
            "data": {},
        }
        (command,) = site.driver.commands
        assert command.body == Start(mode="dual-640", duration_s=600)
        assert command.origin is Origin.HTTP
        assert command.by == "hand"


@pytest.mark.parametrize("body", ["", "{}", "PRESS"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
async def test_a_command_without_keys_needs_no_body_and_no_content_type(tmp_path: Path, body: str, kind: str) -> None:
    async with serving(tmp_path) as site:
        code, result = await site.document("/api/blackbox/stop", "POST", body=body, Content_Type=kind)
        assert (code, result["status"]) == (200, "succeeded")
        assert result["id"] == "made1"


async def test_json_under_the_content_type_that_curl_sends_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        kind = "application/x-www-form-urlencoded"
        body = '{"mode":"dual-640","label":"100% = a&b"}'
        code, result = await site.document("/api/blackbox/start", "POST", body=body, Content_Type=kind)
        assert (code, result["code"]) == (400, "malformed")
        assert "label" in result["message"]


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_each_code_has_its_status_and_the_result_document_as_body(tmp_path: Path, code: Code) -> None:
    async with serving(tmp_path) as site:
        site.driver.code = code
        response = await site.fetch("/api/blackbox/start", "POST")
        assert response.code == STATUS_OF[code] >= 400
        assert response.headers["Content-Type"] == "application/problem+json"
        document = json.loads(response.body)
        assert (document["code"], document["status"]) == (code, "rejected")


def test_already_recording_is_a_conflict() -> None:
    assert STATUS_OF[Code.ALREADY_RECORDING] == 409


async def test_bad_bodies_are_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for path, body, status, code in (
            ("start", b"\xff", 400, "malformed"),
            ("start", b'{"mode":', 400, "malformed"),
            ("start", b"x" * 16385, 413, "too_large"),
            ("duration", b"-5", 422, "out_of_range"),
            ("reboot", b"", 404, "unknown_verb"),
            ("", b"", 404, "unknown_verb"),
            ("%2e%2e", b"", 404, "unknown_verb"),
        ):
            found, result = await site.document(f"/api/blackbox/{path}", "POST", body=body)
            assert (found, result["code"]) == (status, code)


async def test_a_flood_is_refused_without_reaching_the_driver_and_ends_with_the_next_second(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        codes = [(await site.fetch("/api/blackbox/ping", "POST")).code for _ in range(COMMAND_BURST + 5)]
        assert codes == [200] * COMMAND_BURST + [429] * 5
        assert len(site.driver.commands) == COMMAND_BURST
        refused = await site.fetch("/api/recordings/lock", "POST", body="5m")
        assert (refused.code, refused.headers["Retry-After"]) == (429, "1")
        assert json.loads(refused.body)["code"] == "rate_limited"
        site.clock.turn(1)
        assert (await site.fetch("/api/blackbox/ping", "POST")).code == 200


async def test_a_command_that_gets_no_answer_in_time_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.driver.slow = True
        code, result = await site.document("/api/blackbox/start", "POST", body='{"id":"x"}')
        assert (code, result["code"], result["status"], result["id"]) == (504, "timeout", "failed", "x")


async def test_a_command_for_much_later_is_accepted_and_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.driver.slow = True
        code, result = await site.document("/api/blackbox/start", "POST", body='{"at":"2026-11-23T10:15:00Z"}')
        assert (code, result["code"], result["status"]) == (202, "ok", "accepted")
        assert "3600" in result["message"]


async def test_locking_by_its_second_name_is_the_same_command(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        assert (await site.fetch("/api/recordings/lock", "POST", body='{"before":"5m"}')).code == 200
        assert (await site.fetch("/api/recordings/unlock", "POST", body='{"label":"bump"}')).code == 200
        assert [command.verb for command in site.driver.commands] == ["lock", "unlock"]


async def test_the_status_tells_elapsed_and_remaining_time(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        code, document = await site.document("/api/blackbox/status")
        assert code == 200
        assert list(document)[:2] == ["v", "device"]
        assert (document["elapsed_s"], document["remaining_s"]) == (90, 510)
        site.clock.turn(600)
        _, document = await site.document("/api/blackbox/status")
        assert (document["elapsed_s"], document["remaining_s"]) == (690, 0)
        site.status.put(replace(STATUS, started_at=None, ends_at=None))
        _, document = await site.document("/api/blackbox/status")
        assert (document["elapsed_s"], document["remaining_s"]) == (None, None)


async def test_head_answers_like_get_without_the_body(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        response = await site.fetch("/api/blackbox/status", "HEAD")
        assert (response.code, response.body) == (200, b"")
        assert int(response.headers["Content-Length"]) > 100


async def test_before_there_is_a_status_the_answer_is_to_try_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        object.__setattr__(site.server._application.settings["doors"].house, "status", Latest())
        response = await site.fetch("/api/blackbox/status")
        assert response.code == 503
        assert response.headers["Retry-After"] == "1"


async def test_system_info_joins_what_there_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        assert await site.document("/api/system/info") == (200, {"v": 1, "info": None, "telemetry": None})
        site.cells["telemetry"].put({"v": 1, "cpu_percent": 3})
        _, document = await site.document("/api/system/info")
        assert document["telemetry"] == {"v": 1, "cpu_percent": 3}


async def test_health_is_told_to_everybody(tmp_path: Path) -> None:
    async with serving(tmp_path, tokens=known_tokens(tmp_path)) as site:
        response = await site.fetch("/healthz")
        assert (response.code, response.body) == (200, b"ok\n")
