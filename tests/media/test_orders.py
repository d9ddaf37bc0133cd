from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.media.orders import JpegOrder, Orders


def test_nothing_is_wanted_at_first() -> None:
    assert Orders() == Orders(jpeg=None, copy=False)


def test_jpegs_and_the_copy_are_asked_for_apart() -> None:
    both = Orders().obey("jpeg 12.5 640 80").obey("copy on")
    assert both == Orders(JpegOrder(12.5, 640, 80), copy=True)
    assert both.obey("jpeg off") == Orders(copy=True)
    assert both.obey("copy off") == Orders(JpegOrder(12.5, 640, 80))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "jpeg",
        "jpeg on",
        "jpeg 10 640",
        "jpeg 0 640 80",
        "jpeg nan 640 80",
        "jpeg inf 640 80",
        "jpeg 10 -1 80",
        "jpeg 10 640 101",
        "jpeg 10 640 80 1",
        "copy",
        "copy yes",
    ],
)
def test_a_line_that_is_no_order_is_refused_by_name(line: str) -> None:
    with pytest.raises(ValueError, match=r"no order|could not convert"):
        Orders().obey(line)


@given(st.text())
def test_any_other_text_is_refused_and_nothing_else(line: str) -> None:
    try:
        assert isinstance(Orders().obey(line), Orders)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, another exception is not
