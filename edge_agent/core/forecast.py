"""What retention will delete next and when, if recording goes on as it does: a forecast, no decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_agent.core.model import Now
from edge_agent.core.retention import Candidate, Policy, Reason, VolumeState


@dataclass(frozen=True, slots=True)
class Departure:
    """A segment, when it will go, and why."""

    path: str
    size_bytes: int
    at: datetime
    reason: Reason
    uploaded: bool = False


def forecast(
    segments: Iterable[Candidate],
    volume: VolumeState,
    policy: Policy,
    now: Now,
    *,
    write_bytes_ps: float,
    clock_synchronized: bool,
) -> list[Departure]:
    """Every unlocked segment that has a date to go, in the order of recording, which is the order of going.

    `write_bytes_ps` is what recording adds in a second; with 0 only age makes footage go. Nothing goes before what is
    older, so that a segment with a wrong date does not go early. `now` is the date of what is overdue.
    """
    kept = sorted(segments, key=lambda candidate: candidate.order)
    room_bytes = volume.free_bytes - policy.floor_bytes(volume.total_bytes)
    spare_bytes = None if policy.max_bytes is None else policy.max_bytes - sum(one.size_bytes for one in kept)
    departures: list[Departure] = []
    freed_bytes, earliest = 0, now.wall
    for candidate in kept:
        if candidate.locked:
            continue
        dates = [(_filled(room_bytes + freed_bytes, write_bytes_ps, now.wall), Reason.MIN_FREE)]
        if spare_bytes is not None:
            dates.append((_filled(spare_bytes + freed_bytes, write_bytes_ps, now.wall), Reason.MAX_BYTES))
        if clock_synchronized:
            dates.append((_aged(candidate, policy.max_age_s), Reason.MAX_AGE))
        known = [(max(at, earliest), reason) for at, reason in dates if at is not None]
        if not known:
            break
        earliest, reason = min(known)
        departures.append(Departure(candidate.path, candidate.size_bytes, earliest, reason, candidate.uploaded))
        freed_bytes += candidate.size_bytes
    return departures


def _filled(room_bytes: float, write_bytes_ps: float, wall: datetime) -> datetime | None:
    """When so much room is used up; None for never."""
    if room_bytes < 0:
        return wall
    if write_bytes_ps <= 0:
        return None
    try:
        return wall + timedelta(seconds=room_bytes / write_bytes_ps)
    except OverflowError:
        return None


def _aged(candidate: Candidate, max_age_s: float | None) -> datetime | None:
    if max_age_s is None or not candidate.dated:
        return None
    try:
        return candidate.ended_at + timedelta(seconds=max_age_s)
    except OverflowError:
        return None
