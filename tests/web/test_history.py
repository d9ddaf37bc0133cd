from __future__ import annotations

from pathlib import Path

from edge_agent.web.history import KEPT_EVENTS, KEPT_MEASUREMENTS
from tests.fakes.web import serving


async def test_a_page_that_is_opened_late_gets_what_was_measured_and_happened_before(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        site.cells["telemetry"].put({"at": "2026-11-23T09:15:00Z", "cpu_percent": 12.5, "disk": {"free_bytes": 7}})
        site.cells["telemetry"].put({"at": "2026-11-23T09:15:30Z", "cpu_percent": 13.5, "disk": {}})
        site.cells["event"].put({"event_type": "agent_started", "at": "2026-11-23T09:15:00Z"})
        status, document = await site.document("/api/history")
        assert status == 200
        assert document["telemetry"] == {
            "at": ["2026-11-23T09:15:00Z", "2026-11-23T09:15:30Z"],
            "cpu_percent": [12.5, 13.5],
            "memory_percent": [None, None],
            "temperature_c": [None, None],
            "disk_free_bytes": [7, None],
        }
        assert [event["event_type"] for event in document["events"]] == ["agent_started"]


async def test_nothing_measured_yet_is_told_as_empty_columns(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        _, document = await site.document("/api/history")
        assert set(map(len, document["telemetry"].values())) == {0}
        assert document["events"] == []


async def test_the_past_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        for number in range(KEPT_MEASUREMENTS + 5):
            site.cells["telemetry"].put({"at": str(number)})
        for number in range(KEPT_EVENTS + 5):
            site.cells["event"].put({"event_type": "clip_ready", "at": str(number)})
        _, document = await site.document("/api/history")
        assert document["telemetry"]["at"][0] == "5"
        assert len(document["telemetry"]["at"]) == KEPT_MEASUREMENTS
        assert [event["at"] for event in document["events"]][-1] == str(KEPT_EVENTS + 4)
        assert len(document["events"]) == KEPT_EVENTS
