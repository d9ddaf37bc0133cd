"""Which footage goes when room is needed, as a plan that can be shown before it is carried out.

The plan always takes the oldest footage that may go, in the order of recording: no date, however wrong, makes newer
footage go before older.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from edge_agent.core.model import Now

PASS_SHARE = 0.2
"""At most this part of the archive's bytes goes in one pass, unless the disk is below its floor.

A wrong setting or a wrong clock then costs a fifth of the footage, not all of it, until somebody looks.
"""
EXTRAS_SHARE = 0.1
"""Snapshots and clips take at most this part of what the archive may hold: a picture a minute must not drive out
footage. The newest one stays whatever its size."""
CLOCK_REST_S = 600.0
"""How long after a step of the wall clock age deletes nothing."""
MIN_FREE_INODES = 256
"""Below this many free inodes the disk counts as full: two cameras need a few per minute."""


class Reason(StrEnum):
    """Why something goes."""

    MIN_FREE = "min_free"
    MIN_FREE_INODES = "min_free_inodes"
    MAX_BYTES = "max_bytes"
    MAX_AGE = "max_age"
    EXTRAS = "extras"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored segment as retention sees it, or an `extra`: a snapshot or a clip.

    `order` sorts by the time of recording. `dated` is False where the wall clock was known to be wrong when it was
    recorded, so that `ended_at`, of an extra the instant of its making, says nothing. An `in_use` segment (open, or
    named by a running job) stays for now. Of what is `uploaded` there is a copy elsewhere, which the plan tells and
    which decides nothing: the oldest goes first.
    """

    path: str
    order: tuple[int, ...]
    size_bytes: int
    ended_at: datetime
    locked: bool = False
    dated: bool = True
    in_use: bool = False
    extra: bool = False
    uploaded: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What the archive holds in all, where a plan is given only its oldest part; `bytes` counts the extras in."""

    bytes: int
    extra_bytes: int


@dataclass(frozen=True, slots=True)
class VolumeState:
    """Room on the volume for us; inodes are None where the file system does not count them."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep: `max(min_free_bytes, min_free_percent)` free, and no more than the limits that are set."""

    min_free_bytes: int
    min_free_percent: float
    max_bytes: int | None = None
    max_age_s: float | None = None

    def floor_bytes(self, total_bytes: int) -> int:
        """How many bytes have to be free on a volume of this size."""
        return max(self.min_free_bytes, int(total_bytes * self.min_free_percent / 100))


@dataclass(frozen=True, slots=True)
class Removal:
    path: str
    size_bytes: int
    reason: Reason
    uploaded: bool = False


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What goes, oldest first.

    `below_floor` says that the volume is below its floor now, `exhausted` that it will be even after the plan: then
    nothing may be recorded. `freed_bytes` is what the plan frees.
    """

    removals: tuple[Removal, ...] = ()
    below_floor: bool = False
    exhausted: bool = False

    @property
    def freed_bytes(self) -> int:
        return sum(removal.size_bytes for removal in self.removals)


def is_below_floor(volume: VolumeState, policy: Policy) -> bool:
    """Whether the volume has less room than it is meant to keep."""
    lacks_inodes = volume.free_inodes is not None and volume.free_inodes < MIN_FREE_INODES
    return lacks_inodes or volume.free_bytes < policy.floor_bytes(volume.total_bytes)


def lock_quota_bytes(volume: VolumeState, policy: Policy, lock_quota_percent: float) -> int:
    """How much locks may hold: a share of what the archive may hold at most, which is the volume if nothing is set."""
    return int(_allowance_bytes(volume, policy) * lock_quota_percent / 100)


def extras_quota_bytes(volume: VolumeState, policy: Policy) -> int:
    """How much snapshots and clips may take."""
    return int(_allowance_bytes(volume, policy) * EXTRAS_SHARE)


def _allowance_bytes(volume: VolumeState, policy: Policy) -> int:
    """What the archive may hold at most."""
    return volume.total_bytes if policy.max_bytes is None else min(policy.max_bytes, volume.total_bytes)


def plan(
    segments: Iterable[Candidate],
    volume: VolumeState,
    policy: Policy,
    now: Now,
    clock_synchronized: bool,
    last_step_mono_s: float | None = None,
    held: Held | None = None,
) -> RetentionPlan:
    """Decide what goes now.

    `last_step_mono_s` is the monotonic instant of the last step of the wall clock, None if there was none. Extras
    beyond their share go first. Then the oldest of all that is unlocked, as few as the policy allows; at least one per
    pass, so that a limit is reached in the end. `held` is None where `segments` are the whole archive.
    """
    kept = sorted(segments, key=lambda candidate: candidate.order)
    held = held or _held(kept)
    free_to_go = [candidate for candidate in kept if not candidate.locked and not candidate.in_use]
    surplus = _surplus(free_to_go, held, volume, policy)
    first = [_removal(candidate, Reason.EXTRAS) for candidate in surplus]
    going = set(surplus)
    rest = [candidate for candidate in free_to_go if candidate not in going]
    roomier = _after(volume, first)
    lacking = _count_for_floor(rest, roomier, policy)
    floor = len(rest) if lacking is None else lacking
    over = _count_for_bytes(rest, held.bytes, policy.max_bytes)
    rested = last_step_mono_s is None or now.mono_s - last_step_mono_s >= CLOCK_REST_S
    aged = _count_for_age(rest, kept, policy.max_age_s, now.wall) if clock_synchronized and rested else 0
    limited = 0 if surplus else min(max(over, aged), _count_in_share(rest, held.bytes))
    inodes = roomier.free_bytes >= policy.floor_bytes(volume.total_bytes)
    reasons = [
        (floor, Reason.MIN_FREE_INODES if inodes else Reason.MIN_FREE),
        (over, Reason.MAX_BYTES),
        (aged, Reason.MAX_AGE),
    ]
    then = [
        _removal(candidate, next(reason for limit, reason in reasons if place < limit))
        for place, candidate in enumerate(rest[: max(floor, limited)])
    ]
    return RetentionPlan((*first, *then), below_floor=is_below_floor(volume, policy), exhausted=lacking is None)


def _removal(candidate: Candidate, reason: Reason) -> Removal:
    return Removal(candidate.path, candidate.size_bytes, reason, candidate.uploaded)


def _held(kept: list[Candidate]) -> Held:
    extras = sum(candidate.size_bytes for candidate in kept if candidate.extra)
    return Held(sum(candidate.size_bytes for candidate in kept), extras)


def _surplus(free_to_go: list[Candidate], held: Held, volume: VolumeState, policy: Policy) -> list[Candidate]:
    """The oldest extras that are more than may be, as many as one pass may take."""
    extras = [candidate for candidate in free_to_go if candidate.extra]
    quota_bytes = extras_quota_bytes(volume, policy)
    count = min(_count_for_bytes(extras, held.extra_bytes, quota_bytes), len(extras) - 1)
    return extras[: min(count, _count_in_share(extras, held.bytes))]


def _after(volume: VolumeState, removals: list[Removal]) -> VolumeState:
    """The volume when these have gone."""
    free_inodes = None if volume.free_inodes is None else volume.free_inodes + len(removals)
    freed_bytes = sum(removal.size_bytes for removal in removals)
    return replace(volume, free_bytes=volume.free_bytes + freed_bytes, free_inodes=free_inodes)


def _count_for_floor(free_to_go: list[Candidate], volume: VolumeState, policy: Policy) -> int | None:
    """How many have to go until the floor is reached; None when all are not enough."""
    lacking_bytes = policy.floor_bytes(volume.total_bytes) - volume.free_bytes
    lacking_inodes = MIN_FREE_INODES - volume.free_inodes if volume.free_inodes is not None else 0
    for count, candidate in enumerate(free_to_go):
        if lacking_bytes <= 0 and lacking_inodes <= count:
            return count
        lacking_bytes -= candidate.size_bytes
    return len(free_to_go) if lacking_bytes <= 0 and lacking_inodes <= len(free_to_go) else None


def _count_for_bytes(free_to_go: list[Candidate], total_bytes: int, max_bytes: int | None) -> int:
    if max_bytes is None:
        return 0
    for count, candidate in enumerate(free_to_go):
        if total_bytes <= max_bytes:
            return count
        total_bytes -= candidate.size_bytes
    return len(free_to_go)


def _count_for_age(free_to_go: list[Candidate], kept: list[Candidate], max_age_s: float | None, wall: datetime) -> int:
    """How many were recorded no later than the newest well-dated segment that is too old."""
    if max_age_s is None:
        return 0
    try:
        limit = wall - timedelta(seconds=max_age_s)
    except OverflowError:
        return 0

    def too_old(candidate: Candidate) -> bool:
        return candidate.dated and candidate.ended_at < limit

    newest = max((candidate.order for candidate in kept if not candidate.extra and too_old(candidate)), default=None)
    count = 0
    for place, candidate in enumerate(free_to_go, 1):
        if (newest is not None and candidate.order <= newest) or (candidate.extra and too_old(candidate)):
            count = place
        elif not candidate.extra:
            break  # an extra takes no footage along: a clip of old footage is new itself
    return count


def _count_in_share(free_to_go: list[Candidate], total_bytes: int) -> int:
    """How many fit into what one pass may take: at least one."""
    allowed = total_bytes * PASS_SHARE
    for count, candidate in enumerate(free_to_go):
        allowed -= candidate.size_bytes
        if allowed < 0:
            return max(1, count)
    return len(free_to_go)
