from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Now
from edge_agent.host.clock import STEP_S, Clock, ClockWatch, read_kernel_status

BEGIN = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)


class SetClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.mono_s = 100.0
        self.wall = BEGIN

    def now(self) -> Now:
        return Now(self.mono_s, self.wall)

    def move(self, mono_s: float, wall_s: float) -> None:
        self.mono_s += mono_s
        self.wall += timedelta(seconds=wall_s)


def test_now_is_read_on_both_clocks_and_the_wall_is_utc() -> None:
    clock = Clock()
    first, second = clock.now(), clock.now()
    assert first.mono_s <= second.mono_s
    assert first.wall.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - second.wall) < timedelta(seconds=60)


@pytest.mark.parametrize(
    ("status", "file_there", "synchronized"),
    [
        (0x2001, False, True),  # STA_NANO and STA_PLL, as timesyncd leaves it
        (0x40, False, False),
        (0x2041, True, False),  # once set, and lost since
        (None, True, True),
        (None, False, None),
    ],
)
def test_the_kernel_says_whether_the_clock_is_synchronized_and_timesyncd_where_it_may_not_be_asked(
    status: int | None, file_there: bool, synchronized: bool | None, tmp_path: Path
) -> None:
    if file_there:
        (tmp_path / "synchronized").touch()
    assert Clock(lambda: status, tmp_path / "synchronized").synchronized() is synchronized


def test_the_kernels_status_is_one_that_timex_h_knows() -> None:
    status = read_kernel_status()
    assert status is None or 0 <= status <= 0xFFFF
    assert Clock().synchronized() in (True, False, None)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 9 * 365.25 * 86400, -1.5, 1.5])
def test_a_jump_is_told_once_with_its_size(step_s: float) -> None:
    clock = SetClock()
    watch = ClockWatch(clock)
    clock.move(1, 1)
    assert watch.look() is None
    clock.move(1, 1 + step_s)
    assert watch.look() == pytest.approx(step_s, abs=1e-4)
    clock.move(1, 1)
    assert watch.look() is None


@given(st.lists(st.floats(0.1, 10), max_size=50), st.floats(-0.0005, 0.0005))
def test_slewing_and_the_passing_of_time_are_no_jump(looks: list[float], rate: float) -> None:
    clock = SetClock()
    watch = ClockWatch(clock)
    for elapsed_s in looks:
        clock.move(elapsed_s, elapsed_s * (1 + rate))
        assert watch.look() is None


@given(st.floats(-1e6, 1e6))
def test_a_jump_is_what_exceeds_the_step(step_s: float) -> None:
    clock = SetClock()
    watch = ClockWatch(clock)
    clock.move(1, 1 + step_s)
    told = watch.look()
    if abs(step_s) > STEP_S + 1e-3:
        assert told == pytest.approx(step_s, abs=1e-3)
    elif abs(step_s) < STEP_S - 1e-3:
        assert told is None


async def test_the_watch_reports_jumps_while_it_runs() -> None:
    clock = SetClock()
    reported: asyncio.Queue[float] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(ClockWatch(clock).run(reported.put_nowait, interval_s=0.001), name="clock watch")
        for step_s in (3600.0, -3600.0):
            clock.move(1, 1 + step_s)
            assert await asyncio.wait_for(reported.get(), 30) == pytest.approx(step_s)
        watch.cancel()
    assert reported.empty()
