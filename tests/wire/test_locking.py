from __future__ import annotations

from datetime import UTC, datetime, timedelta

from edge_agent.core.commands import Lock
from edge_agent.core.model import Segment
from edge_agent.wire.locking import NAMED, locked_answer, unlocked_answer

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def segment(number: int, *labels: str) -> Segment:
    return Segment(
        path=f"640x480/cam0/{number}.mp4",
        camera="cam0",
        mode="cam0-640",
        run_id="r1",
        sequence=1,
        index=number,
        started_at=NOON + timedelta(minutes=number),
        duration_s=60.0,
        size_bytes=1,
        width=640,
        height=480,
        label=None,
        lock_labels=labels,
    )


def test_a_lock_tells_the_window_that_it_meant_and_what_it_locked() -> None:
    told, data = locked_answer(Lock(before_s=60.0), NOON, [segment(1)], already=0, pending=False)
    assert told == "locked 1 segment"
    assert data == {
        "from": "2026-11-23T11:59:00Z",
        "to": "2026-11-23T12:00:00Z",
        "count": 1,
        "already": 0,
        "locked": ["640x480/cam0/1.mp4"],
        "pending": False,
    }


def test_a_lock_of_everything_up_to_an_instant_names_no_begin() -> None:
    told, data = locked_answer(Lock(end=NOON), NOON, [segment(1), segment(2)], already=3, pending=True)
    assert told == "locked 2 segments, 3 locked before, and those of the window still to be stored"
    assert (data["from"], data["to"], data["already"], data["pending"]) == (None, "2026-11-23T12:00:00Z", 3, True)


def test_more_are_counted_than_named() -> None:
    many = [segment(number) for number in range(NAMED + 20)]
    _, locked = locked_answer(Lock(), NOON, many, already=0, pending=False)
    _, unlocked = unlocked_answer(many)
    assert (locked["count"], len(locked["locked"])) == (NAMED + 20, NAMED)
    assert (unlocked["count"], len(unlocked["unlocked"])) == (NAMED + 20, NAMED)


def test_what_other_labels_hold_is_told_apart_from_what_is_released() -> None:
    told, data = unlocked_answer([segment(1), segment(2, "crash")])
    assert told == "unlocked 1 segment; still locked under other labels: 1"
    assert data == {"count": 1, "unlocked": ["640x480/cam0/1.mp4"], "held": 1}
