from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.forecast import forecast
from edge_agent.core.model import Now
from edge_agent.core.retention import Candidate, Policy, Reason, VolumeState, plan

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
NOW = Now(5000.0, AT)
POLICY = Policy(min_free_bytes=1000, min_free_percent=0)


def candidate(number: int, size_bytes: int = 100, *, locked: bool = False, age_s: float = 0.0) -> Candidate:
    return Candidate(f"{number}.mp4", (1, number, number), size_bytes, AT - timedelta(seconds=age_s), locked)


def test_the_oldest_goes_when_recording_has_used_the_room_up() -> None:
    departures = forecast(
        [candidate(1), candidate(2), candidate(3, locked=True), candidate(4)],
        VolumeState(1500, 10_000),
        POLICY,
        NOW,
        write_bytes_ps=10.0,
        clock_synchronized=True,
    )
    assert [(one.path, (one.at - AT).total_seconds(), one.reason) for one in departures] == [
        ("1.mp4", 50.0, Reason.MIN_FREE),
        ("2.mp4", 60.0, Reason.MIN_FREE),
        ("4.mp4", 70.0, Reason.MIN_FREE),
    ]


def test_the_limit_that_is_reached_first_counts() -> None:
    policy = Policy(min_free_bytes=1000, min_free_percent=0, max_bytes=250, max_age_s=3600)
    departures = forecast(
        [candidate(1, age_s=3599), candidate(2), candidate(3, age_s=-86400)],
        VolumeState(5000, 10_000),
        policy,
        NOW,
        write_bytes_ps=1.0,
        clock_synchronized=True,
    )
    assert [((one.at - AT).total_seconds(), one.reason) for one in departures] == [
        (0.0, Reason.MAX_BYTES),
        (50.0, Reason.MAX_BYTES),
        (150.0, Reason.MAX_BYTES),
    ]


def test_age_counts_with_a_synchronized_clock_only() -> None:
    policy = Policy(1000, 0, max_age_s=3600)
    old = [candidate(1, age_s=3000)]
    room = VolumeState(5000, 10_000)
    (one,) = forecast(old, room, policy, NOW, write_bytes_ps=0.0, clock_synchronized=True)
    assert (one.at - AT, one.reason) == (timedelta(seconds=600), Reason.MAX_AGE)
    assert forecast(old, room, policy, NOW, write_bytes_ps=0.0, clock_synchronized=False) == []


def test_what_is_further_off_than_the_calendar_has_no_date() -> None:
    room = VolumeState(5000, 10_000)
    for policy in (POLICY, Policy(1000, 0, max_age_s=1e15)):
        assert forecast([candidate(1)], room, policy, NOW, write_bytes_ps=1e-12, clock_synchronized=True) == []


@given(
    sizes=st.lists(st.integers(1, 500), max_size=20),
    locked=st.sets(st.integers(0, 19)),
    free=st.integers(0, 3000),
    max_bytes=st.none() | st.integers(1, 2000),
)
def test_what_the_plan_takes_now_is_what_the_forecast_dates_first(
    sizes: list[int], locked: set[int], free: int, max_bytes: int | None
) -> None:
    policy = Policy(1000, 0, max_bytes)
    segments = [candidate(number, size, locked=number in locked) for number, size in enumerate(sizes)]
    volume = VolumeState(free, 10_000)
    dated = forecast(segments, volume, policy, NOW, write_bytes_ps=10.0, clock_synchronized=True)
    assert [one.path for one in dated] == [one.path for one in segments if not one.locked]
    assert [one.at for one in dated] == sorted(one.at for one in dated)
    overdue = [one.path for one in dated if one.at == AT]
    going = [removal.path for removal in plan(segments, volume, policy, NOW, clock_synchronized=True).removals]
    assert going == overdue[: len(going)]


def test_room_that_is_used_up_exactly_is_enough_while_nothing_is_recorded() -> None:
    here = [candidate(1)]
    for free, going in ((1000, []), (999, [(100, AT)])):
        departures = forecast(here, VolumeState(free, 10_000), POLICY, NOW, write_bytes_ps=0.0, clock_synchronized=True)
        assert [(one.size_bytes, one.at) for one in departures] == going


def test_a_forecast_tells_of_which_footage_there_is_a_copy_elsewhere() -> None:
    segments = [candidate(1), replace(candidate(2), uploaded=True)]
    departures = forecast(segments, VolumeState(1000, 10_000), POLICY, NOW, write_bytes_ps=1.0, clock_synchronized=True)
    assert [one.uploaded for one in departures] == [False, True]
