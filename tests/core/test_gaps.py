from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge_agent.core.gaps import SENTENCES, GapReason, Piece, find_gaps

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)


def piece(sequence: int = 1, index: int = 0, *, at_s: float = 0.0, **changes: Any) -> Piece:
    """A segment of 60 s that begins `at_s` seconds after the first one."""
    one = Piece(
        camera="cam0",
        path=f"{sequence}/{index}",
        sequence=sequence,
        index=index,
        session="s1",
        boot_id="boot-a",
        mode="dual-640",
        size=(640, 480),
        started_at=AT + timedelta(seconds=at_s),
        mono_s=1000 + at_s,
        duration_s=60.0,
    )
    return replace(one, **changes)


FIRST = piece()


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (piece(1, 1, at_s=75), GapReason.NO_FRAMES),
        (piece(1, 3, at_s=180), GapReason.MISSING),
        (piece(2, 2, at_s=180), GapReason.MISSING),
        (piece(2, 0, at_s=62), GapReason.CAMERA_FAULT),
        (piece(2, 0, at_s=62, mode="dual-720p", size=(1280, 720)), GapReason.SWITCHED),
        (piece(2, 0, at_s=62, size=(1280, 720)), GapReason.SWITCHED),
        (piece(2, 0, at_s=900, session="s2"), GapReason.STOPPED),
        (piece(2, 0, at_s=900, session="s2", boot_id="boot-b"), GapReason.STOPPED),
        (piece(2, 0, at_s=90, boot_id="boot-b", mono_s=12.0), GapReason.RESTARTED),
        (piece(2, 0, at_s=90, session=""), GapReason.UNKNOWN),
    ],
)
def test_a_gap_has_its_reason(later: Piece, reason: GapReason) -> None:
    (gap,) = find_gaps([later, FIRST])
    assert gap.reason is reason
    assert gap.reason in SENTENCES
    assert (gap.camera, gap.after, gap.before) == ("cam0", FIRST.path, later.path)
    assert gap.started_at == FIRST.ended_at
    assert gap.length_s == pytest.approx((later.started_at - FIRST.ended_at).total_seconds())


def test_segments_that_follow_each_other_have_no_gap() -> None:
    assert find_gaps([piece(1, index, at_s=60.03 * index) for index in range(5)]) == []


def test_a_set_clock_makes_no_gap_within_one_boot() -> None:
    later = piece(1, 1, at_s=60, started_at=AT - timedelta(hours=1))
    assert find_gaps([FIRST, later]) == []


def test_over_a_reboot_the_wall_clock_counts() -> None:
    (gap,) = find_gaps([FIRST, piece(2, 0, at_s=100, boot_id="boot-b", mono_s=5.0)])
    assert gap.length_s == pytest.approx(40)


def test_every_camera_has_gaps_of_its_own() -> None:
    rear = replace(piece(2, 0, at_s=0), camera="cam1")
    gaps = find_gaps([FIRST, piece(1, 1, at_s=70), rear, replace(piece(2, 1, at_s=60), camera="cam1")])
    assert [gap.camera for gap in gaps] == ["cam0"]


def test_cameras_that_took_turns_have_gaps_of_their_own() -> None:
    rear = [replace(piece(2, index, at_s=70.0 * index), camera="cam1") for index in range(2)]
    front = [piece(1), piece(3, 0, at_s=70)]
    assert [(gap.camera, gap.after, gap.before) for gap in find_gaps([*front, *rear])] == [
        ("cam0", "1/0", "3/0"),
        ("cam1", "2/0", "2/1"),
    ]


def test_half_a_second_is_a_gap_and_a_run_without_its_first_segment_misses_it() -> None:
    (gap,) = find_gaps([FIRST, piece(2, 1, at_s=60.5)])
    assert (gap.length_s, gap.reason) == (0.5, GapReason.MISSING)
