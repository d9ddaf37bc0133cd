from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.config.settings import LiveSettings
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Profile
from edge_agent.web.ports import Picture
from edge_agent.web.settings import LIVE
from tests.fakes.web import serving

PICTURE = Picture(
    "snapshots/cam0/blackbox_cam0_20261123T091500Z.jpg", "cam0", datetime(2026, 11, 23, 9, 15, tzinfo=UTC), 7
)


async def test_the_live_picture_can_be_changed_field_by_field(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        _, before = await site.document("/api/settings")
        assert before == {"v": 1, "live": {"width": 640, "height": 480, "fps": 30, "quality": 80}}
        status, after = await site.document("/api/settings", "PATCH", body=json.dumps({"live": {"quality": 55}}))
        assert (status, after["live"]["quality"], after["live"]["fps"]) == (200, 55, 30)
        assert site.screen.profile == Profile(640, 480, 30, quality=55)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "malformed"),
        ("[]", "malformed"),
        ("[" * 100_000, "malformed"),
        ("{}", "malformed"),
        ('{"live": {}}', "malformed"),
        ('{"live": {"colour": 1}}', "malformed"),
        ('{"live": {"fps": 5}, "mode": "x"}', "malformed"),
        ('{"v": 2, "live": {"fps": 5}}', "malformed"),
        ('{"live": {"fps": 0}}', "out_of_range"),
        ('{"live": {"fps": true}}', "out_of_range"),
        ('{"live": {"fps": 5.5}}', "out_of_range"),
        ('{"live": {"quality": 101}}', "out_of_range"),
        ('{"live": {"width": 641}}', "out_of_range"),
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing_and_says_why(body: str, code: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        status, problem = await site.document("/api/settings", "PATCH", body=body)
        assert (status, problem["code"]) == (400, code)
        assert site.screen.profile == Profile(640, 480, 30)


async def test_what_the_house_refuses_is_answered_with_its_sentence(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.screen.refusal = Refusal(Code.CAMERA_BUSY, "not now")
        status, problem = await site.document("/api/settings", "PATCH", body='{"live": {"fps": 5}}')
        assert status >= 400
        assert problem["detail"] == "not now"


@pytest.mark.parametrize("name", LIVE)
def test_the_limits_are_those_of_the_configuration(name: str) -> None:
    schema = LiveSettings.model_json_schema()["properties"][name]
    limits = LIVE[name]
    assert (schema["minimum"], schema["maximum"]) == (limits.low, limits.high)
    assert schema.get("multipleOf", 1) == limits.step


async def test_snapshots_are_listed_newest_first_up_to_a_limit(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.screen.pictures = [PICTURE] * 3
        status, document = await site.document("/api/snapshots?limit=2")
        assert status == 200
        assert len(document["snapshots"]) == 2
        assert document["snapshots"][0] == {
            "path": PICTURE.path,
            "url": f"/recordings/{PICTURE.path}",
            "camera": "cam0",
            "taken_at": "2026-11-23T09:15:00Z",
            "size_bytes": 7,
        }


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1"])
async def test_a_limit_that_is_none_is_refused(limit: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        status, problem = await site.document(f"/api/snapshots?limit={limit}")
        assert (status, problem["code"]) == (400, "out_of_range")
