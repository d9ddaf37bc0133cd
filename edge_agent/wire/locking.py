"""What `lock` and `unlock` answer, message and `data`, the same from a real device and a simulated one.

Both count what is meant; only the list of paths ends somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from edge_agent.core.commands import Lock
from edge_agent.core.model import Segment
from edge_agent.wire.values import counted, format_instant

NAMED = 100
"""Segments that a result names; a week of two cameras would be a megabyte."""


def locked_answer(
    body: Lock, now: datetime, fresh: Sequence[Segment], *, already: int, pending: bool
) -> tuple[str, dict[str, Any]]:
    """`fresh` were locked by this command, `already` before it; `pending`: footage of the window is still to come."""
    start, end = body.window(now)
    data = {
        "from": None if body.start is None and body.end is not None else format_instant(start),
        "to": format_instant(end),
        "count": len(fresh),
        "already": already,
        "locked": [segment.path for segment in fresh[:NAMED]],
        "pending": pending,
    }
    told = f"locked {counted(len(fresh), 'segment')}"
    if already:
        told += f", {already} locked before"
    return told + (", and those of the window still to be stored" if pending else ""), data


def unlocked_answer(touched: Sequence[Segment]) -> tuple[str, dict[str, Any]]:
    """`touched` are the segments as the command left them: those that other labels hold are still locked."""
    released = [segment for segment in touched if not segment.locked]
    held = len(touched) - len(released)
    data = {"count": len(released), "unlocked": [segment.path for segment in released[:NAMED]], "held": held}
    told = f"unlocked {counted(len(released), 'segment')}"
    return told + (f"; still locked under other labels: {held}" if held else ""), data
