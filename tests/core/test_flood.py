from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.flood import COMMAND_BURST, COMMANDS_PER_S, FloodGuard


def test_a_burst_is_taken_and_then_as_many_as_the_rate_allows() -> None:
    guard = FloodGuard()
    assert sum(guard.admit(100.0) for _ in range(1000)) == COMMAND_BURST
    assert sum(guard.admit(101.0) for _ in range(1000)) == COMMANDS_PER_S
    assert sum(guard.admit(1000.0) for _ in range(1000)) == COMMAND_BURST


@given(st.lists(st.floats(0, 2), max_size=200))
def test_no_pattern_gets_more_through_than_rate_and_burst(pauses_s: list[float]) -> None:
    guard, now_s, admitted = FloodGuard(), 5.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        admitted += guard.admit(now_s)
    assert admitted <= COMMAND_BURST + (now_s - 5.0) * COMMANDS_PER_S + 1e-6


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    guard = FloodGuard()
    assert all(guard.admit(number / (COMMANDS_PER_S - 0.01)) for number in range(1000))
