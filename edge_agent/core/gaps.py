"""Where a camera's footage has gaps, and why: from what the stored segments say of themselves alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from operator import attrgetter

SHORTEST_S = 0.5
"""Less than this between two segments is no gap: instants are good to a few frames."""


class GapReason(StrEnum):
    """Why there is no footage."""

    STOPPED = "stopped"
    SWITCHED = "switched"
    CAMERA_FAULT = "camera_fault"
    NO_FRAMES = "no_frames"
    RESTARTED = "restarted"
    MISSING = "missing"
    UNKNOWN = "unknown"


SENTENCES = {
    GapReason.STOPPED: "the recording was over, and another one was started",
    GapReason.SWITCHED: "the recording changed its mode",
    GapReason.CAMERA_FAULT: "the camera, its program or the agent ended and was started again",
    GapReason.NO_FRAMES: "the camera delivered nothing, and its program went on",
    GapReason.RESTARTED: "the machine was restarted or lost its power while it recorded",
    GapReason.MISSING: "segments that were recorded are no longer here: deleted by retention or by hand",
    GapReason.UNKNOWN: "stopped or failed: these segments do not say which recording they belong to",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored segment as the search for gaps sees it. `session` is empty where the segment does not name it.

    `mono_s` counts on the monotonic clock of the boot `boot_id`.
    """

    camera: str
    path: str
    sequence: int
    index: int
    session: str
    boot_id: str
    mode: str
    size: tuple[int, int]
    started_at: datetime
    mono_s: float
    duration_s: float

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.duration_s)


@dataclass(frozen=True, slots=True)
class Gap:
    """No footage of `camera` between two segments, the paths of which are `after` and `before`."""

    camera: str
    after: str
    before: str
    started_at: datetime
    length_s: float
    reason: GapReason


def find_gaps(pieces: Iterable[Piece]) -> list[Gap]:
    """The gaps of every camera, in the order of recording, camera by camera."""
    ordered = sorted(pieces, key=attrgetter("camera", "sequence", "index"))
    return [
        gap
        for _, group in groupby(ordered, key=attrgetter("camera"))
        for before, after in pairwise(group)
        if (gap := _gap(before, after)) is not None
    ]


def _gap(one: Piece, other: Piece) -> Gap | None:
    length_s = _length_s(one, other)
    if length_s < SHORTEST_S:
        return None
    return Gap(one.camera, one.path, other.path, one.ended_at, length_s, _reason(one, other))


def _length_s(one: Piece, other: Piece) -> float:
    """On the monotonic clock where both know the same one, because the other may have been set between."""
    if one.boot_id and one.boot_id == other.boot_id:
        return other.mono_s - one.mono_s - one.duration_s
    return (other.started_at - one.ended_at).total_seconds()


def _reason(one: Piece, other: Piece) -> GapReason:
    if one.sequence == other.sequence:
        return GapReason.NO_FRAMES if other.index == one.index + 1 else GapReason.MISSING
    if other.index > 0:
        return GapReason.MISSING
    if not one.session or not other.session:
        return GapReason.UNKNOWN
    if one.session != other.session:
        return GapReason.STOPPED
    if one.boot_id != other.boot_id:
        return GapReason.RESTARTED
    return GapReason.SWITCHED if (one.mode, one.size) != (other.mode, other.size) else GapReason.CAMERA_FAULT
