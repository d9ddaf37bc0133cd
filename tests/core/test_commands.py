from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.core.commands import DEFAULT_LOCK_S, Lock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVER = datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("lock", "start", "end"),
    [
        (Lock(), NOON - timedelta(seconds=DEFAULT_LOCK_S), NOON),
        (Lock(before_s=0.0), NOON, NOON),
        (Lock(before_s=60.0, after_s=30.0), NOON - timedelta(seconds=60), NOON + timedelta(seconds=30)),
        (Lock(start=NOON - timedelta(hours=2)), NOON - timedelta(hours=2), NOON),
        (Lock(end=NOON - timedelta(hours=1)), EVER, NOON - timedelta(hours=1)),
        (Lock(start=NOON - timedelta(hours=2), end=NOON + timedelta(hours=1)), None, NOON + timedelta(hours=1)),
    ],
)
def test_a_lock_means_a_window_of_time(lock: Lock, start: datetime | None, end: datetime) -> None:
    assert lock.window(NOON) == (start or lock.start, end)
