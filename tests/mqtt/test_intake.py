from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.flood import COMMAND_BURST, COMMANDS_PER_S
from edge_agent.core.model import Code, Now
from edge_agent.mqtt.intake import FLOOD_ANSWERS, Intake
from edge_agent.mqtt.messages import Incoming
from edge_agent.mqtt.topics import TopicTree

START = Incoming("blackbox/van7/cmd/start", b"dual-640")
EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


def at(mono_s: float) -> Now:
    return Now(mono_s, EPOCH + timedelta(seconds=mono_s))


def intake(*, as_published: bool = True) -> Intake:
    return Intake(TopicTree("blackbox"), "van7", ("north",), as_published=as_published)


def test_a_command_keeps_everything_that_its_sender_said() -> None:
    message = replace(START, expiry_s=60, reply_to="r", correlation=b"c", properties=(("k", "v"),))
    raw = intake().judge(message, at(5))
    assert raw is not None
    assert (raw.verb, raw.payload, raw.received, raw.group) == ("start", b"dual-640", at(5), None)
    assert (raw.expires_at, raw.reply_to, raw.correlation) == (at(65).wall, "r", b"c")
    assert (raw.properties, raw.refusal, raw.retained) == ((("k", "v"),), None, False)


@pytest.mark.parametrize(
    ("topic", "group"),
    [("blackbox/@north/cmd/stop", "north"), ("blackbox/@all/cmd/stop", "all"), ("blackbox/van7/cmd/stop", None)],
)
def test_own_and_group_topics_are_heard(topic: str, group: str | None) -> None:
    raw = intake().judge(Incoming(topic, b""), at(0))
    assert raw is not None
    assert raw.group == group


@pytest.mark.parametrize(
    "topic", ["blackbox/van8/cmd/stop", "blackbox/@south/cmd/stop", "blackbox/van7/status", "blackbox/van7/cmd/a/b"]
)
def test_other_topics_are_not(topic: str) -> None:
    assert intake().judge(Incoming(topic, b""), at(0)) is None


def test_subscriptions_cover_the_device_its_groups_and_all() -> None:
    assert [one.topic_filter for one in intake().subscriptions] == [
        "blackbox/van7/cmd/+",
        "blackbox/@all/cmd/+",
        "blackbox/@north/cmd/+",
    ]
    assert all(one.as_published for one in intake().subscriptions)


def test_a_retained_command_is_news_once_however_often_the_broker_sends_it() -> None:
    taker, retained = intake(), replace(START, retain=True)
    for turn in range(3):
        taker.begin()
        raw = taker.judge(retained, at(turn))
        assert (raw is not None) == (turn == 0)
        taker.greeted()
        assert taker.retained == ("blackbox/van7/cmd/start",)


def test_another_retained_command_on_the_same_topic_is_news() -> None:
    taker = intake()
    taker.begin()
    assert taker.judge(replace(START, retain=True), at(0)) is not None
    assert taker.judge(replace(START, retain=True, payload=b"cam0-640"), at(0)) is not None


def test_a_retained_command_sent_again_live_is_answered_again() -> None:
    taker = intake()
    taker.begin()
    taker.greeted()
    assert taker.judge(replace(START, retain=True), at(0)) is not None
    assert taker.judge(replace(START, retain=True, packet_id=2), at(1)) is not None


def test_a_retained_command_that_the_broker_no_longer_has_is_no_problem_any_more() -> None:
    taker = intake()
    taker.begin()
    taker.judge(replace(START, retain=True), at(0))
    taker.greeted()
    taker.begin()
    assert len(taker.retained) == 1
    taker.greeted()
    assert len(taker.retained) == 0


def test_the_clearing_of_a_retained_command_is_no_command() -> None:
    taker = intake()
    taker.begin()
    taker.judge(replace(START, retain=True), at(0))
    assert taker.judge(replace(START, retain=True, payload=b""), at(1)) is None
    assert taker.retained == ()


def test_without_mqtt_5_the_clearing_looks_like_a_command_and_is_refused() -> None:
    taker = intake(as_published=False)
    taker.begin()
    taker.judge(replace(START, retain=True), at(0))
    raw = taker.judge(replace(START, payload=b""), at(1))
    assert raw is not None
    assert raw.refusal is not None
    assert raw.refusal.code is Code.RETAINED
    meant = taker.judge(replace(START, payload=b"", packet_id=9), at(2))
    assert meant is not None
    assert meant.refusal is None


def test_a_delivery_repeated_after_a_broken_connection_is_taken_once() -> None:
    taker = intake()
    assert taker.judge(replace(START, packet_id=7), at(0)) is not None
    assert taker.judge(replace(START, packet_id=7, duplicate=True), at(1)) is None


def test_a_repeated_delivery_that_never_arrived_before_is_taken() -> None:
    assert intake().judge(replace(START, packet_id=7, duplicate=True), at(1)) is not None


def test_the_same_command_sent_twice_is_taken_twice() -> None:
    taker = intake()
    assert taker.judge(replace(START, packet_id=7), at(0)) is not None
    assert taker.judge(replace(START, packet_id=7), at(1)) is not None


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_more_than_the_burst_and_the_rate_come_through(gaps_s: list[float]) -> None:
    taker = intake()
    mono_s, taken = 0.0, 0
    for gap_s in gaps_s:
        mono_s += gap_s
        raw = taker.judge(replace(START, qos=0), at(mono_s))
        taken += raw is not None and raw.refusal is None
    assert taken <= COMMAND_BURST + COMMANDS_PER_S * mono_s + 1e-6
    assert taken >= min(len(gaps_s), COMMAND_BURST)


def test_those_refused_are_answered_each_and_those_beyond_together() -> None:
    taker = intake()
    many = COMMAND_BURST + FLOOD_ANSWERS + 30
    verdicts = [taker.judge(Incoming(f"blackbox/van7/cmd/v{number}", b"", qos=0), at(0)) for number in range(many)]
    answered = [raw for raw in verdicts if raw is not None]
    assert [raw.verb for raw in answered if raw.refusal] == [f"v{20 + number}" for number in range(FLOOD_ANSWERS)]
    assert {raw.refusal.code for raw in answered if raw.refusal} == {Code.RATE_LIMITED}
    assert taker.flooded
    raw = taker.flood_answer(at(1))
    assert raw is not None
    assert raw.refusal is not None
    assert raw.refusal.code is Code.RATE_LIMITED
    assert raw.refusal.message.startswith("30 commands refused")
    assert raw.verb == f"v{many - 1}"
    assert not taker.flooded
    assert taker.flood_answer(at(2)) is None


def test_memory_does_not_grow_with_the_number_of_retained_topics() -> None:
    taker = intake()
    taker.begin()
    for number in range(1000):
        taker.judge(Incoming(f"blackbox/van7/cmd/x{number}", b"1", retain=True), at(number))
    assert len(taker.retained) <= 64


@given(st.text(max_size=60), st.binary(max_size=40), st.booleans(), st.booleans())
def test_no_message_is_too_strange(rest: str, payload: bytes, retain: bool, duplicate: bool) -> None:
    for topic in (f"blackbox/van7/cmd/{rest}", f"blackbox/{rest}", rest):
        intake().judge(Incoming(topic, payload, retain=retain, duplicate=duplicate), at(0))


def test_a_retained_command_is_refused_as_such_within_a_flood_too() -> None:
    taker = intake()
    for _ in range(COMMAND_BURST):
        taker.judge(replace(START, qos=0), at(0))
    raw = taker.judge(replace(START, qos=0, retain=True), at(0))
    assert raw is not None
    assert (raw.retained, raw.refusal) == (True, None)
