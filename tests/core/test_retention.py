from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core import retention
from edge_agent.core.model import Now
from edge_agent.core.retention import Candidate, Held, Policy, Reason, RetentionPlan, VolumeState, plan

NOW = Now(100_000.0, datetime(2026, 11, 23, 12, tzinfo=UTC))
ROOMY = VolumeState(free_bytes=10**12, total_bytes=2 * 10**12, free_inodes=10**6)
KEEP_ALL = Policy(min_free_bytes=0, min_free_percent=0)


def footage(count: int, size_bytes: int = 100, **fields: object) -> list[Candidate]:
    """One segment a minute until now, oldest first."""
    made = [
        Candidate(f"{number:04d}", (1, number), size_bytes, NOW.wall - timedelta(minutes=count - number))
        for number in range(count)
    ]
    return [replace(candidate, **fields) for candidate in made]  # type: ignore[arg-type]


def gone(decided: RetentionPlan) -> list[str]:
    return [removal.path for removal in decided.removals]


def test_nothing_goes_while_there_is_room_and_no_limit() -> None:
    assert plan(footage(10), ROOMY, KEEP_ALL, NOW, clock_synchronized=True) == RetentionPlan()


def test_the_oldest_go_until_the_floor_is_reached() -> None:
    volume = VolumeState(free_bytes=750, total_bytes=10_000)
    decided = plan(footage(50), volume, Policy(1000, 5), NOW, clock_synchronized=True)
    assert gone(decided) == ["0000", "0001", "0002"]
    assert {removal.reason for removal in decided.removals} == {Reason.MIN_FREE}
    assert (decided.below_floor, decided.exhausted, decided.freed_bytes) == (True, False, 300)


def test_the_floor_is_the_larger_of_bytes_and_percent() -> None:
    assert Policy(1000, 5).floor_bytes(10_000) == 1000
    assert Policy(1000, 50).floor_bytes(10_000) == 5000


def test_locked_and_used_footage_stays_and_the_plan_says_when_that_is_not_enough() -> None:
    segments = [replace(segment, locked=index % 2 == 0, in_use=index == 9) for index, segment in enumerate(footage(10))]
    decided = plan(segments, VolumeState(0, 10_000), Policy(1000, 0), NOW, clock_synchronized=True)
    assert gone(decided) == ["0001", "0003", "0005", "0007"]
    assert decided.exhausted


def test_a_disk_without_inodes_counts_as_full() -> None:
    volume = replace(ROOMY, free_inodes=retention.MIN_FREE_INODES - 2)
    decided = plan(footage(10), volume, KEEP_ALL, NOW, clock_synchronized=True)
    assert gone(decided) == ["0000", "0001"]
    assert decided.removals[0].reason is Reason.MIN_FREE_INODES
    assert plan([], volume, KEEP_ALL, NOW, clock_synchronized=True).exhausted


def test_a_limit_of_bytes_takes_at_most_a_fifth_per_pass() -> None:
    policy = Policy(0, 0, max_bytes=100)
    decided = plan(footage(50), ROOMY, policy, NOW, clock_synchronized=True)
    assert gone(decided) == [f"{number:04d}" for number in range(10)]
    assert decided.removals[0].reason is Reason.MAX_BYTES
    assert len(plan(footage(2), ROOMY, policy, NOW, clock_synchronized=True).removals) == 1


def test_a_limit_of_age_takes_what_is_older() -> None:
    policy = Policy(0, 0, max_age_s=45.5 * 60)
    decided = plan(footage(50), ROOMY, policy, NOW, clock_synchronized=True)
    assert gone(decided) == ["0000", "0001", "0002", "0003", "0004"]
    assert decided.removals[0].reason is Reason.MAX_AGE


def test_age_deletes_nothing_while_the_clock_cannot_be_trusted() -> None:
    policy = Policy(0, 0, max_age_s=60)
    assert gone(plan(footage(50), ROOMY, policy, NOW, clock_synchronized=False)) == []
    stepped = NOW.mono_s - retention.CLOCK_REST_S
    assert gone(plan(footage(50), ROOMY, policy, NOW, True, stepped + 1)) == []
    assert gone(plan(footage(50), ROOMY, policy, NOW, True, stepped)) != []


def test_footage_dated_by_a_wrong_clock_goes_only_with_what_came_after_it() -> None:
    policy = Policy(0, 0, max_age_s=45.5 * 60)
    segments = footage(50)
    before_the_clock = replace(segments[30], ended_at=datetime(1970, 1, 1, tzinfo=UTC), dated=False)
    beyond = replace(segments[2], ended_at=datetime(2035, 1, 1, tzinfo=UTC))
    decided = plan([*segments[:2], beyond, *segments[3:30], before_the_clock, *segments[31:]], ROOMY, policy, NOW, True)
    assert gone(decided) == ["0000", "0001", "0002", "0003", "0004"]


def test_an_absurd_age_deletes_nothing() -> None:
    assert gone(plan(footage(5), ROOMY, Policy(0, 0, max_age_s=1e15), NOW, True)) == []


def test_the_lock_quota_is_a_share_of_what_the_archive_may_hold() -> None:
    volume = VolumeState(0, 1000)
    assert retention.lock_quota_bytes(volume, KEEP_ALL, 50) == 500
    assert retention.lock_quota_bytes(volume, Policy(0, 0, max_bytes=100), 50) == 50
    assert retention.lock_quota_bytes(volume, Policy(0, 0, max_bytes=5000), 50) == 500


def pictures(count: int, size_bytes: int = 100, first: int = 0) -> list[Candidate]:
    """One snapshot a minute until now, oldest first, each behind the segment of its minute."""
    made = footage(count, size_bytes, extra=True)
    return [replace(one, path=f"{one.path}.jpg", order=(1, first + number, 1)) for number, one in enumerate(made)]


def test_snapshots_and_clips_beyond_their_share_go_before_any_footage() -> None:
    decided = plan([*footage(10), *pictures(10)], VolumeState(500, 3000), KEEP_ALL, NOW, clock_synchronized=True)
    assert gone(decided) == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"], "a fifth of the archive at a time"
    assert {removal.reason for removal in decided.removals} == {Reason.EXTRAS}
    decided = plan(pictures(4), ROOMY, Policy(0, 0, max_bytes=2000), NOW, clock_synchronized=True)
    assert gone(decided) == ["0000.jpg"]
    left = plan(pictures(2), ROOMY, Policy(0, 0, max_bytes=2000), NOW, clock_synchronized=True)
    assert gone(left) == []


def test_the_newest_picture_stays_whatever_its_size() -> None:
    assert gone(plan(pictures(1, 5000), VolumeState(0, 6000), KEEP_ALL, NOW, clock_synchronized=True)) == []
    assert gone(plan(pictures(2, 5000), VolumeState(0, 12_000), KEEP_ALL, NOW, clock_synchronized=True)) == ["0000.jpg"]


def test_within_their_share_they_go_with_the_footage_of_their_time() -> None:
    together = [*footage(4), *pictures(4, 50)]
    decided = plan(together, VolumeState(0, 10_000), Policy(400, 0), NOW, clock_synchronized=True)
    assert gone(decided) == ["0000", "0000.jpg", "0001", "0001.jpg", "0002"]
    decided = plan(together, VolumeState(0, 10_000), Policy(600, 0), NOW, clock_synchronized=True)
    assert (len(decided.removals), decided.exhausted) == (8, False)


def test_a_picture_goes_by_age_and_takes_no_footage_along() -> None:
    policy = Policy(0, 0, max_age_s=3600)
    old = NOW.wall - timedelta(hours=2)
    assert gone(plan(pictures(1) + footage(3), ROOMY, policy, NOW, clock_synchronized=True)) == []
    aged = [replace(one, ended_at=old) for one in pictures(3)]
    assert gone(plan(aged, ROOMY, policy, NOW, clock_synchronized=True)) == ["0000.jpg"]
    late = [replace(one, ended_at=old) for one in pictures(1, first=50)]
    assert gone(plan(footage(3) + late, ROOMY, policy, NOW, clock_synchronized=True)) == []
    undated = [replace(one, ended_at=old, dated=False) for one in pictures(3)]
    assert gone(plan(undated, ROOMY, policy, NOW, clock_synchronized=True)) == []


def test_a_plan_over_the_oldest_part_knows_what_is_held_in_all() -> None:
    everything = [*footage(40), *pictures(40)]
    policy = Policy(0, 0, max_bytes=7000)
    whole = plan(everything, ROOMY, policy, NOW, clock_synchronized=True)
    part = plan(
        [*everything[:20], *everything[40:60]], ROOMY, policy, NOW, clock_synchronized=True, held=Held(8000, 4000)
    )
    assert part == whole
    assert len(whole.removals) == 16


instants = st.datetimes(timezones=st.just(UTC))
candidates = st.lists(
    st.builds(
        Candidate,
        st.uuids().map(str),
        st.tuples(st.integers(0, 3), st.integers(0, 9)),
        st.integers(0, 1000),
        instants | st.just(NOW.wall),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=30,
)
volumes = st.builds(VolumeState, st.integers(0, 3000), st.integers(3000, 20_000), st.none() | st.integers(0, 600))
policies = st.builds(
    Policy,
    st.integers(0, 5000),
    st.floats(0, 100),
    st.none() | st.integers(0, 10_000),
    st.none() | st.floats(0, 1e10),
)
rests = st.none() | st.floats(NOW.mono_s - 2 * retention.CLOCK_REST_S, NOW.mono_s)


@given(candidates, volumes, policies, st.booleans(), rests)
def test_a_plan_keeps_its_promises(
    segments: list[Candidate], volume: VolumeState, policy: Policy, synchronized: bool, step: float | None
) -> None:
    decided = plan(segments, volume, policy, NOW, synchronized, step)
    by_path = {segment.path: segment for segment in segments}
    going = [by_path[path] for path in gone(decided)]
    may_go = [
        segment for segment in sorted(segments, key=lambda one: one.order) if not segment.locked and not segment.in_use
    ]
    assert len({segment.path for segment in going}) == len(going)
    assert not any(segment.locked or segment.in_use for segment in going)
    assert going == may_go[: len(going)], "the oldest first, and no gaps"
    freed = sum(segment.size_bytes for segment in going)
    after = replace(
        volume,
        free_bytes=volume.free_bytes + freed,
        free_inodes=None if volume.free_inodes is None else volume.free_inodes + len(going),
    )
    assert decided.exhausted == (retention.is_below_floor(after, policy) and going == may_go)
    assert not retention.is_below_floor(after, policy) or decided.exhausted
    if not decided.below_floor and len(going) > 1:
        assert freed <= sum(segment.size_bytes for segment in segments) * retention.PASS_SHARE
    if policy.max_age_s is None and policy.max_bytes is None and not decided.below_floor:
        assert going == []
    if not synchronized or (step is not None and NOW.mono_s - step < retention.CLOCK_REST_S):
        assert all(removal.reason is not Reason.MAX_AGE for removal in decided.removals)


@given(candidates, volumes, policies)
def test_passes_come_to_rest_within_the_limits(segments: list[Candidate], volume: VolumeState, policy: Policy) -> None:
    left = segments
    for _ in range(len(segments) + 1):
        going = set(gone(plan(left, volume, policy, NOW, clock_synchronized=True)))
        freed = sum(segment.size_bytes for segment in left if segment.path in going)
        volume = replace(volume, free_bytes=volume.free_bytes + freed)
        left = [segment for segment in left if segment.path not in going]
    assert gone(plan(left, volume, policy, NOW, clock_synchronized=True)) == []
    removable = [segment for segment in left if not segment.locked and not segment.in_use]
    if policy.max_bytes is not None and removable:
        assert sum(segment.size_bytes for segment in left) <= policy.max_bytes


@given(candidates, st.lists(st.booleans(), min_size=30, max_size=30), volumes, policies)
def test_passes_bring_extras_to_their_share(
    segments: list[Candidate], extra: list[bool], volume: VolumeState, policy: Policy
) -> None:
    left = [replace(one, extra=flag) for one, flag in zip(segments, extra, strict=False)]
    for _ in range(len(segments) + 1):
        decided = plan(left, volume, policy, NOW, clock_synchronized=True)
        going = {removal.path: removal.reason for removal in decided.removals}
        assert all(one.extra for one in left if going.get(one.path) is Reason.EXTRAS)
        assert not any(one.locked or one.in_use for one in left if one.path in going)
        volume = replace(volume, free_bytes=volume.free_bytes + decided.freed_bytes)
        left = [one for one in left if one.path not in going]
    assert gone(plan(left, volume, policy, NOW, clock_synchronized=True)) == []
    extras = [one for one in left if one.extra]
    if sum(not one.locked and not one.in_use for one in extras) > 1:
        assert sum(one.size_bytes for one in extras) <= retention.extras_quota_bytes(volume, policy)


def test_a_copy_elsewhere_is_told_of_what_goes_and_changes_nothing_about_the_order() -> None:
    segments = [replace(segment, uploaded=index >= 2) for index, segment in enumerate(footage(10))]
    decided = plan(segments, VolumeState(700, 10_000), Policy(1000, 0), NOW, clock_synchronized=True)
    assert [(removal.path, removal.uploaded) for removal in decided.removals] == [
        ("0000", False),
        ("0001", False),
        ("0002", True),
    ]


def test_exactly_enough_room_is_enough() -> None:
    floor = Policy(1000, 0)
    exact = VolumeState(1000, 10_000, free_inodes=retention.MIN_FREE_INODES)
    assert not retention.is_below_floor(exact, floor)
    assert gone(plan(footage(5), exact, floor, NOW, clock_synchronized=True)) == []
    lacking = VolumeState(899, 10_000)
    assert gone(plan(footage(5), lacking, floor, NOW, clock_synchronized=True)) == ["0000", "0001"]
    (one,) = plan(footage(1), lacking, floor, NOW, clock_synchronized=True).removals
    assert one.reason is Reason.MIN_FREE
    assert plan(footage(1), lacking, floor, NOW, clock_synchronized=True).exhausted
    without_inodes = replace(exact, free_inodes=retention.MIN_FREE_INODES - 1)
    (one,) = plan(footage(5), without_inodes, floor, NOW, clock_synchronized=True).removals
    assert one.reason is Reason.MIN_FREE_INODES


def test_a_limit_of_bytes_takes_no_more_than_it_must() -> None:
    for max_bytes, going in ((5000, []), (4999, ["0000"]), (4900, ["0000"]), (4899, ["0000", "0001"])):
        assert gone(plan(footage(50), ROOMY, Policy(0, 0, max_bytes), NOW, clock_synchronized=True)) == going
    assert len(gone(plan(footage(3), ROOMY, Policy(0, 0, 1), NOW, clock_synchronized=True))) == 1


def test_footage_as_old_as_the_limit_stays() -> None:
    for minutes, going in ((50, []), (49.99, ["0000"]), (100, [])):
        policy = Policy(0, 0, max_age_s=minutes * 60)
        assert gone(plan(footage(50), ROOMY, policy, NOW, clock_synchronized=True)) == going


def test_what_the_surplus_leaves_free_counts_before_any_footage_goes() -> None:
    together = [*footage(10), *pictures(10)]
    surplus = ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"]
    for floor_bytes, footage_gone in ((900, []), (1100, ["0000", "0001"])):
        decided = plan(together, VolumeState(500, 3000), Policy(floor_bytes, 0), NOW, clock_synchronized=True)
        assert gone(decided) == surplus + footage_gone
        assert [removal.reason for removal in decided.removals[4:]] == [Reason.MIN_FREE] * len(footage_gone)
    for lacking_inodes, footage_gone in ((4, []), (6, ["0000", "0001"])):
        volume = VolumeState(500, 3000, retention.MIN_FREE_INODES - lacking_inodes)
        decided = plan(together, volume, KEEP_ALL, NOW, clock_synchronized=True)
        assert gone(decided) == surplus + footage_gone
        assert [removal.reason for removal in decided.removals[4:]] == [Reason.MIN_FREE_INODES] * len(footage_gone)


def test_a_limit_takes_no_footage_in_a_pass_that_takes_surplus_pictures() -> None:
    together = [*footage(10), *pictures(10)]
    decided = plan(together, ROOMY, Policy(0, 0, max_bytes=1000), NOW, clock_synchronized=True)
    assert gone(decided) == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"], "a fifth of the archive in all"
