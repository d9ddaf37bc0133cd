from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.offload.orders import (
    Destination,
    Order,
    Progress,
    Refused,
    Stored,
    Told,
    Unreadable,
    line_of,
    read_destination,
    read_order,
    read_told,
)

TOLD = st.one_of(
    st.builds(Progress, st.integers(0, 2**40)),
    st.builds(Stored, st.text(), st.text()),
    st.builds(Unreadable, st.text()),
    st.builds(Refused, st.text()),
)


@given(TOLD)
def test_what_the_sender_says_is_one_line_and_read_as_it_was_said(told: Told) -> None:
    line = line_of(told)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert read_told(line) == told
    assert read_told(line.encode()) == told


@given(st.text(), st.text(), st.none() | st.text(), st.none() | st.integers(8000))
def test_what_the_sender_is_told_is_read_as_it_was_told(one: str, two: str, place: str | None, bps: int | None) -> None:
    destination = Destination(place, one, two, "us-east-1", one, two, place, bps)
    assert read_destination(line_of(destination)) == destination
    order = Order(one, two)
    assert read_order(line_of(order)) == order


@pytest.mark.parametrize(
    "line", ["", "\n", "Traceback", "[]", "{}", '{"gone":{}}', '{"stored":{}}', '{"progress":[]}', "7", b"\xff"]
)
def test_what_no_sender_says_is_named(line: str | bytes) -> None:
    with pytest.raises(ValueError, match="not from a sender"):
        read_told(line)
