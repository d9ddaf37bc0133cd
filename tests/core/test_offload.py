from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.offload import LONGEST_DELAY_S, Allowance, Hours, parse_hours, retry_delay_s

TIMES = st.integers(0, 24 * 60 - 1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-23T{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00:00", "23:59:59", "00:00:00", "05:59:59"], ["06:00:00", "12:00:00", "21:59:59"]),
        ("09:15-09:16", ["09:15:00", "09:15:59"], ["09:14:59", "09:16:00", "21:15:30"]),
    ],
)
def test_hours_hold_their_begin_and_not_their_end(hours: str, inside: list[str], outside: list[str]) -> None:
    parsed = parse_hours(hours)
    assert [parsed.include(at(text)) for text in inside] == [True] * len(inside)
    assert [parsed.include(at(text)) for text in outside] == [False] * len(outside)


def test_hours_are_utc_whatever_zone_the_instant_comes_in_or_the_machine_is_in(own_time_zone: None) -> None:
    hours = parse_hours("22:00-06:00")
    seoul = timezone(timedelta(hours=9))
    assert hours.include(datetime(2026, 11, 24, 8, 0, tzinfo=seoul))
    assert not hours.include(datetime(2026, 11, 23, 23, 0, tzinfo=seoul))


@pytest.mark.parametrize("text", ["", "22:00", "22-06", "24:00-06:00", "22:60-06:00", "06:00-06:00", "22:00-06:00\n"])
def test_what_is_no_hours_is_refused_with_an_example(text: str) -> None:
    told = 'must be two different times of the day in UTC, such as "22:00-06:00"; unset: at any time'
    with pytest.raises(ValueError, match=f"^{told}$"):
        parse_hours(text)


@given(begin=TIMES, end=TIMES, minute=TIMES)
def test_a_window_and_the_rest_of_the_day_are_the_whole_day(begin: int, end: int, minute: int) -> None:
    instant = at("00:00:00") + timedelta(minutes=minute)
    within, without = Hours(begin, end).include(instant), Hours(end, begin).include(instant)
    assert within != without or begin == end


def test_a_failure_is_waited_after_longer_each_time_up_to_five_minutes() -> None:
    assert [retry_delay_s(n, 0.5) for n in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert retry_delay_s(10_000, 1.0) == pytest.approx(1.2 * LONGEST_DELAY_S)
    assert retry_delay_s(1, 0.0) == pytest.approx(0.8)


@given(
    rate=st.floats(1000, 1e8),
    pieces=st.lists(st.tuples(st.integers(1, 1_000_000), st.floats(0, 100)), min_size=1, max_size=60),
)
def test_no_more_is_sent_than_the_rate_allows_since_the_first_byte(
    rate: float, pieces: list[tuple[int, float]]
) -> None:
    allowance = Allowance(rate)
    mono_s = 1000.0
    sent_bytes, began_mono_s = 0, None
    for size_bytes, idle_s in pieces:
        mono_s += idle_s
        mono_s += allowance.wait_s(size_bytes, mono_s)
        began_mono_s = mono_s if began_mono_s is None else began_mono_s
        assert sent_bytes <= rate * (mono_s - began_mono_s) + 1, "before this piece"
        sent_bytes += size_bytes


def test_a_sender_that_is_always_ready_gets_the_whole_rate_and_a_pause_earns_no_burst() -> None:
    allowance = Allowance(1000)
    waits = [allowance.wait_s(500, 10.0) for _ in range(4)]
    assert waits == [0.0, 0.5, 1.0, 1.5]
    assert [allowance.wait_s(500, 100.0) for _ in range(3)] == [0.0, 0.5, 1.0]
