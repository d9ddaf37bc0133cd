from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.pace import STEPS_FPS, Pace, Strain

CALM = Strain(20.0, 50.0, throttled=False)
BUSY = Strain(97.0, 50.0, throttled=False)
BETWEEN = Strain(80.0, 77.0, throttled=False)


def _feed(pace: Pace, strain: Strain, start_s: float, seconds: int) -> list[float | None]:
    limits = []
    for second in range(seconds):
        pace.take(strain, start_s + second)
        limits.append(pace.limit_fps)
    return limits


def test_live_view_steps_down_to_15_and_then_5_while_the_strain_lasts() -> None:
    limits = _feed(Pace(), BUSY, 100.0, 40)
    assert (limits.index(15.0), limits.index(5.0), limits[-1]) == (10, 20, 5.0)


def test_it_comes_back_a_step_at_a_time_after_half_a_minute_of_calm() -> None:
    pace = Pace()
    _feed(pace, BUSY, 100.0, 40)
    limits = _feed(pace, CALM, 200.0, 31)
    assert (limits.index(15.0), pace.reason) == (30, "the processor is 97 % busy")
    limits = _feed(pace, CALM, 231.0, 30)
    assert (limits.index(None), pace.reason) == (29, None)


def test_strain_counts_from_its_beginning() -> None:
    pace = Pace()
    _feed(pace, CALM, 100.0, 60)
    assert set(_feed(pace, BUSY, 160.0, 10)) == {None}


def test_between_the_limits_nothing_changes() -> None:
    pace = Pace()
    _feed(pace, BUSY, 100.0, 15)
    assert set(_feed(pace, BETWEEN, 200.0, 300)) == {15.0}
    assert pace.reason == "the processor is 97 % busy"


def test_a_hot_or_throttled_processor_counts_as_well_as_a_busy_one() -> None:
    assert Strain(None, 83.0, throttled=None).reason == "the processor is at 83 degrees"
    assert Strain(None, None, throttled=True).reason == "the processor is throttled"
    assert Strain(None, None, throttled=None).reason is None


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(20, 95), st.booleans()), max_size=200))
def test_the_rate_moves_one_step_at_a_time_and_a_limit_has_a_reason(measured: list[tuple[float, float, bool]]) -> None:
    pace = Pace()
    before = 0
    for second, (cpu, temperature, throttled) in enumerate(measured):
        pace.take(Strain(cpu, temperature, throttled=throttled), float(second))
        step = STEPS_FPS.index(pace.limit_fps)
        assert abs(step - before) <= 1
        assert (step > 0) == (pace.reason is not None)
        before = step
