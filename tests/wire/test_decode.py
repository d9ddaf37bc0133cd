from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.core.commands import (
    Announce,
    Body,
    Clip,
    Command,
    Lock,
    Origin,
    Ping,
    Restart,
    SelectDuration,
    SelectMode,
    Snapshot,
    Start,
    Stop,
    StopStream,
    Stream,
    Unlock,
    Verb,
)
from edge_agent.core.model import MAX_DURATION_S, Code, Now
from edge_agent.wire import MAX_PAYLOAD_BYTES, decode_command

WALL = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
QUARTER_PAST = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
TWENTY_PAST = datetime(2026, 11, 23, 9, 20, tzinfo=UTC)
WINDOW = {"from": "2026-11-23T09:15:00Z", "to": "2026-11-23T09:20:00Z"}


def decode(verb: str, payload: bytes | str | dict[str, Any] = b"", **more: Any) -> Command:
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    if isinstance(payload, str):
        payload = payload.encode()
    known: dict[str, Any] = {"received": Now(100.0, WALL), "origin": Origin.MQTT, "new_id": lambda: "made"}
    return decode_command(verb, payload, **(known | more))


@pytest.mark.parametrize(
    ("verb", "payload", "body"),
    [
        ("start", "", Start()),
        ("start", "{}", Start()),
        ("start", " \n", Start()),
        ("start", "PRESS", Start()),
        ("start", '"PRESS"', Start()),
        ("start", "dual-640", Start(mode="dual-640")),
        ("start", "dual-640\n", Start(mode="dual-640")),
        ("start", '"dual-640"', Start(mode="dual-640")),
        ("start", "10m", Start(duration_s=600)),
        ("start", "120", Start(duration_s=120)),
        ("start", "0", Start(duration_s=0)),
        ("start", {"mode": "640"}, Start(mode="640")),
        ("start", {"mode": None, "label": ""}, Start()),
        (
            "start",
            {"mode": "demo", "duration": "1h30m", "label": "a B._-9"},
            Start("demo", None, None, 5400, "a B._-9"),
        ),
        ("start", {"cameras": ["cam1", "cam0"]}, Start(cameras=("cam1", "cam0"))),
        ("start", {"cameras": ["cam0"], "resolution": 640}, Start(cameras=("cam0",), resolution="640")),
        ("start", {"cameras": ["cam0"], "resolution": "1080p"}, Start(cameras=("cam0",), resolution="1080p")),
        ("stop", "", Stop()),
        ("stop", "PRESS", Stop()),
        ("mode", "stream", SelectMode("stream")),
        ("mode", {"mode": "stream"}, SelectMode("stream")),
        ("duration", "90", SelectDuration(90)),
        ("duration", '"90"', SelectDuration(90)),
        ("duration", {"duration": 90.5}, SelectDuration(90.5)),
        ("record", "ON", Start()),
        ("record", "off", Stop()),
        ("record", {"state": True}, Start()),
        ("stream", "1", Stream()),
        ("stream", {"state": "OFF"}, StopStream()),
        ("snapshot", "", Snapshot()),
        ("snapshot", "cam1", Snapshot("cam1")),
        ("lock", "", Lock()),
        ("lock", "5m", Lock(before_s=300)),
        ("lock", {"before": 60, "after": "10s", "label": "bump"}, Lock(60, 10, label="bump")),
        ("lock", WINDOW, Lock(start=QUARTER_PAST, end=TWENTY_PAST)),
        ("unlock", "bump", Unlock("bump")),
        ("unlock", {"label": ""}, Unlock("")),
        ("unlock", WINDOW, Unlock(None, QUARTER_PAST, TWENTY_PAST)),
        ("clip", {"camera": "cam0"} | WINDOW, Clip("cam0", QUARTER_PAST, TWENTY_PAST)),
        ("ping", "", Ping()),
        ("announce", "{}", Announce()),
        ("restart", "", Restart()),
    ],
)
def test_each_verb_takes_text_and_json_as_the_contract_says(
    verb: str, payload: str | dict[str, Any], body: Body
) -> None:
    command = decode(verb, payload)
    assert command.refusal is None
    assert command.body == body
    assert command.warnings == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h30m5s", 5405),
        ("7d", MAX_DURATION_S),
        ("1.5h", 5400),
        ("120.0", 120),
        ("0", 0),
        ("-0", 0),
        (".5", 0.5),
        ("+5", 5),
        (" 5 ", 5),
    ],
)
def test_durations_are_read_in_every_form_people_write(text: str, seconds: float) -> None:
    assert decode("duration", text).body == SelectDuration(seconds)


@pytest.mark.parametrize(
    "ts",
    ["2026-11-23T09:15:00Z", "2026-11-23T10:15:00+01:00", "2026-11-23 09:15:00.000Z", "2026-11-23t09:15z", 1795425300],
)
def test_instants_are_read_as_iso_8601_with_a_zone_or_as_unix_seconds(ts: str | float) -> None:
    assert decode("ping", {"at": ts}).at == datetime(2026, 11, 23, 9, 15, tzinfo=UTC)


def test_the_common_keys_reach_the_command() -> None:
    command = decode("stop", {"id": "01JB7", "by": "rule 7", "at": "2026-11-23T09:20:00Z", "v": 1})
    assert (command.id, command.by, command.at, command.warnings) == ("01JB7", "rule 7", TWENTY_PAST, ())


def test_an_id_is_made_only_where_the_sender_gave_none() -> None:
    assert decode("stop").id == "made"
    assert decode("stop", {"id": "mine"}).id == "mine"
    assert decode("stop", {"id": "mine", "nonsense": 1, "ts": "bad"}).id == "mine"
    assert decode("stop", {"id": 5}).id == "made"


def test_ttl_counts_from_ts_and_the_earlier_of_two_expiries_wins() -> None:
    sent = {"ts": "2026-11-23T09:14:00Z", "ttl": 90}
    assert decode("start", sent).expires_at == WALL + timedelta(seconds=30)
    assert decode("start", {"ttl": "1m"}).expires_at == WALL + timedelta(minutes=1)
    assert decode("start", {"ts": "2026-11-23T09:14:00Z"}).expires_at is None
    sooner, later = WALL + timedelta(seconds=5), WALL + timedelta(seconds=500)
    assert decode("start", sent, expires_at=sooner).expires_at == sooner
    assert decode("start", sent, expires_at=later).expires_at == WALL + timedelta(seconds=30)
    assert decode("start", expires_at=later).expires_at == later


def test_unknown_keys_are_named_beside_the_known_ones_and_disturb_nothing() -> None:
    command = decode("start", {"mode": "demo", "durration": 5})
    assert command.body == Start(mode="demo")
    (warning,) = command.warnings
    assert "durration" in warning
    assert "duration" in warning.replace("durration", "")
    (many,) = decode("stop", {f"key{number}": 1 for number in range(50)}).warnings
    assert "45 more" in many


def test_a_retained_command_is_refused_whatever_it_says_and_keeps_its_id() -> None:
    for payload in (b"", b'{"id":"x1"}', b"\xff", b"x" * (MAX_PAYLOAD_BYTES + 1)):
        command = decode("start", payload, retained=True)
        assert command.body is None
        assert command.refusal is not None
        assert command.refusal.code is Code.RETAINED
    assert decode("start", b'{"id":"x1"}', retained=True).id == "x1"


def test_reply_topic_and_correlation_are_kept_also_for_a_refused_command() -> None:
    command = decode("start", b"\xff", reply_to="answers/me", correlation=b"\x00\x01")
    assert (command.reply_to, command.correlation) == ("answers/me", b"\x00\x01")
    assert command.refusal is not None


def test_a_payload_of_exactly_the_limit_is_read() -> None:
    assert decode("start", b" " * (MAX_PAYLOAD_BYTES - 8) + b"dual-640").body == Start(mode="dual-640")


def test_a_refusal_names_the_value_but_not_all_of_it() -> None:
    refusal = decode("start", {"label": "?" * 5000}).refusal
    assert refusal is not None
    assert "???" in refusal.message
    assert len(refusal.message) < 200


verbs = st.one_of(st.sampled_from(list(Verb)), st.text(max_size=8))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
json_values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
)
keys = st.sampled_from(
    ["id", "ts", "ttl", "at", "by", "v", "mode", "cameras", "resolution", "duration", "label", "state", "camera"]
)
more_keys = st.sampled_from(["before", "after", "from", "to", "other"])
likely = st.one_of(
    json_values,
    st.sampled_from(["dual-640", "cam0", "ON", "10m", "2026-11-23T09:15:00Z", ["cam0"], "720p", 1795425300, 60, 1]),
)


def assert_settled(command: Command) -> None:
    """A command is either obeyed or refused, and its texts can be sent as JSON in UTF-8."""
    assert (command.body is None) == (command.refusal is not None)
    assert 1 <= len(command.id) <= 64
    texts = [command.id, command.verb, command.by, command.warnings, command.refusal and command.refusal.message]
    json.dumps(texts, ensure_ascii=False).encode()
    if isinstance(command.body, Start | SelectDuration) and command.body.duration_s is not None:
        assert 0 <= command.body.duration_s <= MAX_DURATION_S
    if command.expires_at is not None:
        assert command.expires_at.tzinfo is not None


@given(verbs, st.binary(max_size=300), st.booleans())
@example("start", b'{"a":"\\', False)
@example("start", b'"\\ud800"', False)
def test_any_bytes_are_obeyed_or_refused_and_never_raise(verb: str, payload: bytes, retained: bool) -> None:
    assert_settled(decode(verb, payload, retained=retained))


@given(verbs, st.dictionaries(keys | more_keys, likely, max_size=5))
def test_any_json_object_is_obeyed_or_refused_and_never_raises(verb: str, payload: dict[str, Any]) -> None:
    assert_settled(decode(verb, payload))


@given(st.sampled_from(list(Verb)), st.text(max_size=30))
def test_any_text_is_obeyed_or_refused_and_never_raises(verb: Verb, text: str) -> None:
    assert_settled(decode(verb, text.encode("utf-8", "surrogatepass")))
