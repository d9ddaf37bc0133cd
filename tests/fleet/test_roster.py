from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.fleet.roster import Roster

STATUS = {"v": 1, "at": "2026-11-23T09:15:00Z", "state": "recording", "mode": "dual-640", "selected_mode": "demo"}
TELEMETRY = {
    "v": 1,
    "at": "2026-11-23T09:15:30Z",
    "temperature_c": 61.5,
    "disk": {"free_bytes": 5_000_000_000, "used_percent": 40.5, "recording_hours_left": 12.3},
}


def told(roster: Roster, device: str, kind: str, document: Any) -> None:
    roster.take(device, kind, document if isinstance(document, bytes) else json.dumps(document).encode())


def test_a_row_is_what_the_documents_say() -> None:
    roster = Roster()
    told(roster, "van7", "availability", b"online")
    told(roster, "van7", "info", {"name": "Van 7", "groups": ["vans"], "version": "1.0", "simulated": False})
    problems = [{"code": "disk_low"}, {"code": "camera_missing"}, {"code": "camera_missing"}]
    told(roster, "van7", "status", {**STATUS, "problems": problems})
    told(roster, "van7", "telemetry", TELEMETRY)
    (row,) = roster.rows()
    assert (row.device, row.name, row.groups, row.online) == ("van7", "Van 7", ("vans",), True)
    assert (row.state, row.mode) == ("recording", "dual-640")
    assert (row.disk_free_bytes, row.disk_used_percent, row.hours_left) == (5_000_000_000, 40.5, 12.3)
    assert (row.temperature_c, row.problems) == (61.5, ("disk_low", "camera_missing"))
    assert row.seen_at == datetime(2026, 11, 23, 9, 15, 30, tzinfo=UTC)
    assert (row.version, row.simulated) == ("1.0", False)


def test_an_idle_device_shows_its_selected_mode() -> None:
    roster = Roster()
    told(roster, "van7", "status", {**STATUS, "mode": None})
    assert roster.rows()[0].mode == "demo"


def test_members_of_a_group_are_those_who_say_so() -> None:
    roster = Roster()
    for device, groups in (("van8", ["vans"]), ("van7", ["vans", "north"]), ("bus1", [])):
        told(roster, device, "info", {"groups": groups})
    told(roster, "silent", "availability", b"offline")
    assert roster.members("vans") == ("van7", "van8")
    assert roster.members("all") == ("bus1", "silent", "van7", "van8")
    assert [row.device for row in roster.rows("north")] == ["van7"]


def test_what_the_broker_forgets_is_forgotten() -> None:
    roster = Roster()
    told(roster, "van7", "availability", b"online")
    told(roster, "van7", "status", STATUS)
    told(roster, "van7", "status", b"")
    assert roster.rows()[0].state is None
    told(roster, "van7", "availability", b"")
    assert roster.devices == ()


def test_only_a_device_that_says_that_it_speaks_mqtt_5_knows_response_topics() -> None:
    roster = Roster()
    for device, protocol in (("new", "5"), ("old", "3.1.1")):
        told(roster, device, "info", {"mqtt": {"protocol": protocol}})
    told(roster, "silent", "availability", b"online")
    known = {device: roster.knows_response_topics(device) for device in (*roster.devices, "nobody")}
    assert known == {"new": True, "old": False, "silent": False, "nobody": False}


def test_texts_that_would_move_a_cursor_are_harmless() -> None:
    roster = Roster()
    told(roster, "van7", "status", {"state": "\x1b[2J", "problems": [{"code": "a\nb"}]})
    told(roster, "../x", "status", STATUS)
    (row,) = roster.rows()
    assert (row.state, row.problems) == (" [2J", ("a b",))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["at", "state", "mode", "disk", "problems", "groups", "name", "mqtt", "temperature_c", "free_bytes", "code"]
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["status", "telemetry", "info", "availability"]),
            st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON)).map(lambda value: json.dumps(value).encode())
            | st.binary(max_size=20),
        ),
        max_size=5,
    )
)
def test_no_document_breaks_the_table(messages: list[tuple[str, bytes]]) -> None:
    roster = Roster()
    for kind, payload in messages:
        roster.take("van7", kind, payload)
    for row in roster.rows():
        texts = [row.device, row.name or "", row.state or "", row.mode or "", *row.groups, *row.problems]
        assert all(text.isprintable() for text in texts)
