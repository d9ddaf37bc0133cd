from __future__ import annotations

import pytest

from edge_agent.cli.table import age, length, size, table


def test_columns_are_as_wide_as_they_need_and_figures_stand_to_the_right() -> None:
    rows = [("cam0", "9.5 MB", "2026-11-23"), ("camera-10", "812 kB", "x")]
    assert table(("NAME", "SIZE", "DAY"), rows) == [
        "NAME         SIZE  DAY",
        "cam0       9.5 MB  2026-11-23",
        "camera-10  812 kB  x",
    ]


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (64e9, "64.0 GB"),
        (3.2e15, "3200 TB"),
    ],
)
def test_sizes_have_a_unit(size_bytes: float | None, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d"), (None, "")],
)
def test_ages_have_one_unit(seconds: float | None, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (750, "12:30"), (3723, "1:02:03")])
def test_lengths_are_minutes_and_hours(seconds: float, text: str) -> None:
    assert length(seconds) == text
