from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from edge_agent.core import events as ev
from edge_agent.core.commands import (
    Announce,
    Clip,
    Command,
    Lock,
    Ping,
    Refusal,
    Restart,
    SelectDuration,
    SelectMode,
    Snapshot,
    Start,
    Stop,
    StopStream,
    Stream,
    Unlock,
    Verb,
)
from edge_agent.core.effects import Announce as AnnounceEffect
from edge_agent.core.ledger import REMEMBERED, interrupted
from edge_agent.core.model import CameraState, Code, DeviceState, EventType, ResultStatus, RunRecord, Segment, is_label
from tests.fakes.world import EPOCH, World


@pytest.fixture
def world() -> World:
    return World()


def _recording(mode: str = "dual-640") -> World:
    world = World()
    world.command(Start(mode=mode), "start")
    world.play()
    return world


def _code(world: World, command_id: str) -> Code:
    return world.final(command_id).code


def test_a_command_that_is_too_old_is_refused_as_expired(world: World) -> None:
    command = Command("a", Verb.START, Start(), world.now, expires_at=EPOCH - timedelta(seconds=30))
    world.post(ev.CommandReceived(command))
    assert (world.final("a").status, _code(world, "a")) == (ResultStatus.REJECTED, Code.EXPIRED)
    assert world.final("a").message == "expired 30 s ago: send it again, or with a longer ttl"
    assert world.reported(EventType.COMMAND_REFUSED)[0].fields["code"] is Code.EXPIRED


@pytest.mark.parametrize(("left", "code"), [(timedelta(0), Code.EXPIRED), (timedelta(milliseconds=1), Code.OK)])
def test_a_command_expires_at_its_instant_and_not_before(world: World, left: timedelta, code: Code) -> None:
    world.post(ev.CommandReceived(Command("a", Verb.PING, Ping(), world.now, expires_at=EPOCH + left)))
    assert _code(world, "a") is code


def test_a_retained_command_is_refused_as_such_whatever_its_id(world: World) -> None:
    retained = Command("a", Verb.START, None, world.now, refusal=Refusal(Code.RETAINED, "clear it"))
    world.command(Start(), "a")
    world.post(ev.CommandReceived(retained))
    world.play()
    world.post(ev.CommandReceived(retained))
    codes = [(result.status, result.code, result.duplicate) for result in world.finals("a")]
    refused = (ResultStatus.REJECTED, Code.RETAINED, False)
    assert codes == [refused, (ResultStatus.SUCCEEDED, Code.OK, False), refused]


@pytest.mark.parametrize("ahead_s", [-60, 25 * 3600])
def test_a_common_start_instant_out_of_reach_is_refused(world: World, ahead_s: int) -> None:
    world.command(Start(), "a", at=EPOCH + timedelta(seconds=ahead_s))
    assert _code(world, "a") is Code.OUT_OF_RANGE
    assert world.alive == {}


def test_a_common_start_instant_is_told_in_utc(world: World) -> None:
    world.command(Start(), "a", at=(EPOCH + timedelta(seconds=5)).astimezone(timezone(timedelta(hours=9))))
    assert world.answers[0][1].message == "waiting for 2026-11-23T09:15:05.000Z"


def test_a_common_start_instant_just_past_is_obeyed_at_once(world: World) -> None:
    world.command(Start(mode="cam0-640"), "a", at=EPOCH - timedelta(seconds=2))
    assert set(world.alive) == {"cam0"}


def test_a_command_without_a_body_is_malformed(world: World) -> None:
    world.post(ev.CommandReceived(Command("a", Verb.START, None, world.now)))
    assert _code(world, "a") is Code.MALFORMED


def test_announce_and_restart_answer_and_then_happen(world: World) -> None:
    effects = world.agent.handle(ev.CommandReceived(Command("a", Verb.ANNOUNCE, Announce(), world.now)), world.now)
    assert AnnounceEffect() in effects
    world.command(Restart(), "b", Verb.RESTART)
    assert (world.restarts, _code(world, "b")) == (1, Code.OK)


def test_a_start_on_a_full_disk_is_refused_with_what_the_disk_says(world: World) -> None:
    world.post(ev.StorageChanged("disk_full", "delete or unlock something"))
    world.command(Start(), "a")
    assert (_code(world, "a"), world.final("a").message) == (Code.DISK_FULL, "delete or unlock something")
    world.command(Stream(), "b", Verb.STREAM)
    world.play()
    assert _code(world, "b") is Code.OK


def test_a_disk_that_fills_while_starting_fails_the_start_by_name(world: World) -> None:
    world.command(Start(), "a")
    world.post(ev.StorageChanged("read_only", "remount it"))
    assert (world.final("a").status, _code(world, "a")) == (ResultStatus.FAILED, Code.READ_ONLY)
    world.play()
    world.play()
    assert world.agent.snapshot().state is DeviceState.IDLE


def test_selecting_an_unknown_mode_names_the_known_ones(world: World) -> None:
    world.command(SelectMode("dual-8k"), "a", Verb.MODE)
    assert _code(world, "a") is Code.UNKNOWN_MODE
    assert "dual-640" in world.final("a").message


def test_a_recording_cannot_become_live_view_or_a_mode_of_a_missing_camera() -> None:
    world = _recording("cam0-640")
    world.command(SelectMode("stream"), "a", Verb.MODE)
    world.post(ev.CamerasFound({"cam1": "its cable is loose"}))
    world.command(SelectMode("cam1-640"), "b", Verb.MODE)
    assert (_code(world, "a"), _code(world, "b")) == (Code.ALREADY_RECORDING, Code.CAMERA_MISSING)
    assert world.agent.snapshot().mode == "cam0-640"


def test_a_duration_out_of_range_is_refused_and_changes_nothing(world: World) -> None:
    world.command(SelectDuration(8 * 24 * 3600.0), "a", Verb.DURATION)
    assert _code(world, "a") is Code.OUT_OF_RANGE
    assert world.agent.snapshot().duration_s == 0


def test_a_snapshot_of_an_unknown_camera_names_the_known_ones(world: World) -> None:
    world.command(Snapshot("cam7"), "a", Verb.SNAPSHOT)
    world.command(Clip("cam7", EPOCH, EPOCH), "b", Verb.CLIP)
    assert {_code(world, "a"), _code(world, "b")} == {Code.UNKNOWN_CAMERA}
    assert world.jobs == []


def test_stream_off_ends_live_view_and_needs_none(world: World) -> None:
    world.command(Stream(), "on", Verb.STREAM)
    world.play()
    world.command(StopStream(), "off", Verb.STREAM)
    world.wait(2)
    world.command(StopStream(), "again", Verb.STREAM)
    assert {_code(world, name) for name in ("off", "again")} == {Code.OK}
    assert world.alive == {}


def test_a_stop_that_cannot_be_carried_out_in_time_says_what_hangs() -> None:
    world = _recording("cam0-640")
    world.command(Stop(), "a", Verb.STOP)
    world.wait(19, playing=False)
    assert (world.final("a").status, _code(world, "a")) == (ResultStatus.FAILED, Code.TIMEOUT)
    assert "cam0" in world.final("a").message


def test_something_started_while_a_stop_is_under_way_settles_the_stop() -> None:
    world = _recording("cam0-640")
    world.command(Stop(), "a", Verb.STOP)
    world.command(Start(mode="cam1-640"), "b")
    assert _code(world, "a") is Code.OK
    world.wait(3)
    assert _code(world, "b") is Code.OK


def test_a_mode_goes_without_cameras_and_some_cameras_have_no_mode(world: World) -> None:
    world.command(Start(mode="dual-640", cameras=("cam0",)), "a")
    world.command(Start(cameras=("cam0",), resolution="1080p"), "b")
    world.command(Start(mode="nonsense"), "c")
    assert [_code(world, name) for name in "abc"] == [Code.MALFORMED, Code.UNKNOWN_MODE, Code.UNKNOWN_MODE]


def test_news_of_the_current_run_shows_in_the_status_and_stale_news_does_not() -> None:
    world = _recording("cam0-640")
    run_id = world.alive["cam0"].run_id
    for name in (run_id, "another"):
        world.post(ev.SegmentOpened("cam0", name, f"{name}.mp4"))
        world.post(ev.FootageVerified("cam0", name, EPOCH + timedelta(seconds=len(name))))
        world.post(ev.FirstFrame("cam0", name, world.now))
    status = world.agent.snapshot().cameras["cam0"]
    assert (status.segment, status.verified_until) == (f"{run_id}.mp4", EPOCH + timedelta(seconds=len(run_id)))
    world.command(Stop(), "stop", Verb.STOP)
    world.wait(2)
    world.command(Start(mode="cam0-640"), "again")
    assert world.agent.snapshot().cameras["cam0"].verified_until is None, "nothing of this recording is"


def test_stored_segments_clock_steps_and_problems_are_told(world: World) -> None:
    segment = Segment("a.mp4", "cam0", "cam0-640", "r", 1, 0, EPOCH, 60.0, 5, 640, 480, None, lock_labels=("crash",))
    world.post(ev.SegmentStored(segment))
    world.post(ev.ClockStepped(-3600.12345))
    world.post(ev.ProblemChanged("broker_lost", "no broker"))
    world.post(ev.ProblemChanged("broker_lost", "still no broker"))
    assert world.reported(EventType.SEGMENT_STORED)[0].fields["locked"] is True
    assert world.reported(EventType.CLOCK_STEPPED)[0].fields == {"step_s": -3600.123}
    (problem,) = world.agent.snapshot().problems
    assert (problem.code, problem.message, problem.since) == ("broker_lost", "still no broker", EPOCH)
    world.post(ev.ProblemChanged("broker_lost", None))
    assert world.agent.snapshot().problems == ()


def test_a_run_of_a_camera_that_is_configured_no_more_is_not_adopted() -> None:
    first = _recording("cam0-640")
    session = first.agent.session
    assert session is not None
    record = RunRecord(replace(first.alive["cam0"], camera="cam9"), session, ("x",), first.now)
    later = World(first.saved)
    later.post(ev.Booted((record,), None))
    assert later.agent.snapshot().state is DeviceState.IDLE


def test_bytes_alone_date_a_recording_whose_first_frame_nobody_saw() -> None:
    world = World()
    world.command(Start(mode="cam0-640"), "a")
    world.post(ev.BytesSeen("cam0", world.alive["cam0"].run_id))
    assert world.agent.snapshot().started_at == EPOCH


def test_answers_are_remembered_up_to_a_limit_and_an_interrupted_command_fails_as_such(world: World) -> None:
    for number in range(REMEMBERED + 1):
        world.command(SelectDuration(1.0), f"n{number}", Verb.DURATION)
    for name in ("n1", "n0"):
        world.command(SelectDuration(1.0), name, Verb.DURATION)
    assert [world.finals(name)[-1].duplicate for name in ("n1", "n0")] == [True, False]
    result = interrupted(Command("x", Verb.START, None, world.now), world.now)
    assert (result.status, result.code, result.took_ms) == (ResultStatus.FAILED, Code.INTERRUPTED, 0)


def test_labels_are_plain_words() -> None:
    assert is_label("trip 12")
    assert not is_label("a/b")


def test_a_snapshot_of_a_missing_camera_is_refused_at_once_with_the_reason(world: World) -> None:
    world.post(ev.CamerasFound({"cam1": "its cable is loose"}))
    world.command(Snapshot("cam1"), "a", Verb.SNAPSHOT)
    assert (_code(world, "a"), world.final("a").message) == (Code.CAMERA_MISSING, "cam1: its cable is loose")
    assert [problem.message for problem in world.agent.snapshot().problems] == ["cam1: its cable is loose"]
    world.command(Snapshot(), "b", Verb.SNAPSHOT)
    assert [job.id for job in world.jobs] == ["b"]
    world.post(ev.CamerasFound(dict.fromkeys(("cam0", "cam1"), "there is no camera program")))
    world.command(Snapshot(), "c", Verb.SNAPSHOT)
    assert world.final("c").message == "cam0, cam1: there is no camera program"


def test_a_snapshot_of_a_camera_that_runs_is_taken_whatever_is_listed() -> None:
    world = _recording()
    world.post(ev.CamerasFound({"cam1": "it is not listed while it is busy"}))
    world.command(Snapshot("cam1"), "a", Verb.SNAPSHOT)
    assert [job.id for job in world.jobs] == ["a"]


@pytest.mark.parametrize(("ahead_s", "running"), [(-5.0, True), (0.0, True), (0.5, False), (24 * 3600.0, False)])
def test_a_common_start_instant_within_reach_is_taken(world: World, ahead_s: float, *, running: bool) -> None:
    world.command(Start(mode="cam0-640"), "a", at=EPOCH + timedelta(seconds=ahead_s))
    assert bool(world.alive) == running
    assert [result.code for _, result in world.answers] == [Code.OK]
    assert world.answers[0][1].message.startswith("starting" if running else "waiting for")


def test_nothing_is_due_before_a_common_instant_and_the_first_to_come_goes_first(world: World) -> None:
    for length_s in (1.0, 2.0, 3.0):
        world.command(SelectDuration(length_s), f"{length_s}", Verb.DURATION, at=EPOCH + timedelta(seconds=5))
    assert world.agent.next_deadline() == world.mono_s + 5
    world.wait(5)
    assert world.agent.snapshot().duration_s == 3.0
    assert [_code(world, f"{length_s}") for length_s in (1.0, 2.0, 3.0)] == [Code.OK] * 3


def test_a_stop_answers_for_all_that_waited_and_names_why_the_recording_ended() -> None:
    world = _recording()
    for name in "ab":
        world.command(Start(), name, at=EPOCH + timedelta(seconds=5))
    world.command(Stop(), "stop", Verb.STOP)
    world.wait(3)
    assert [_code(world, name) for name in ("a", "b", "stop")] == [Code.INTERRUPTED, Code.INTERRUPTED, Code.OK]
    assert [report.fields["reason"] for report in world.reported(EventType.RECORDING_STOPPED)] == ["command"]


def test_a_stop_while_footage_is_being_stored_waits_for_it() -> None:
    world = _recording()
    world.command(Stop(), "a", Verb.STOP)
    world.command(Stop(), "b", Verb.STOP)
    assert world.finals("b") == []
    world.play()
    assert {_code(world, name) for name in "ab"} == {Code.OK}


def test_a_stop_that_hangs_names_the_cameras_or_the_storing() -> None:
    cameras, storing = _recording(), _recording()
    for world in (cameras, storing):
        world.command(Stop(), "a", Verb.STOP)
    for camera in ("cam0", "cam1"):
        storing.kill(camera, ev.Cause.STOPPED)
    for world in (cameras, storing):
        world.wait(19, playing=False)
    assert cameras.final("a").message.startswith("cam0, cam1 did not finish within 18 s")
    assert storing.final("a").message.startswith("storing the footage did not finish within 18 s")


def test_live_view_has_no_deadline_and_is_not_changed_by_what_is_selected(world: World) -> None:
    world.command(SelectDuration(5.0), "d", Verb.DURATION)
    world.command(Stream(), "s", Verb.STREAM)
    world.play()
    world.command(SelectMode("cam1-640"), "m", Verb.MODE)
    world.command(SelectDuration(2.0), "e", Verb.DURATION)
    world.wait(20)
    status = world.agent.snapshot()
    assert (status.state, status.mode, status.ends_at) == (DeviceState.STREAMING, "stream", None)
    assert (status.selected_mode, world.agent.selected_duration_s) == ("cam1-640", 2.0)
    assert [world.final(name).message for name in "dme"] == ["selected 5 s", "selected cam1-640", "selected 2 s"]


def test_selecting_the_mode_that_is_on_changes_nothing_and_another_one_is_selected_by_its_switch() -> None:
    world = _recording()
    before = dict(world.alive)
    world.command(SelectMode("dual-640"), "a", Verb.MODE)
    assert (_code(world, "a"), world.stopping, world.alive) == (Code.OK, set(), before)
    world.command(SelectMode("dual-720p"), "b", Verb.MODE)
    assert world.agent.snapshot().selected_mode == "dual-720p"


def test_a_mode_with_steps_can_be_left_for_one_without() -> None:
    world = _recording("demo")
    world.wait(6)
    world.command(SelectMode("dual-640"), "a", Verb.MODE)
    world.wait(3)
    assert _code(world, "a") is Code.OK
    assert {run.profile.height for run in world.alive.values()} == {480}


@pytest.mark.parametrize(
    ("duration_s", "told"), [(0.0, "until stopped"), (0.5, "0.5 s"), (7 * 24 * 3600.0, "604800 s")]
)
def test_a_duration_from_none_to_a_week_is_selected(world: World, duration_s: float, told: str) -> None:
    world.command(SelectDuration(duration_s), "a", Verb.DURATION)
    assert (world.final("a").message, world.agent.snapshot().duration_s) == (f"selected {told}", duration_s)


def test_a_switch_that_fails_keeps_start_and_duration_of_the_recording() -> None:
    world = _recording("cam0-640")
    world.wait(5)
    world.frozen.add("cam1")
    world.command(SelectMode("cam1-640"), "m", Verb.MODE)
    world.command(SelectDuration(60.0), "d", Verb.DURATION)
    world.wait(20)
    status = world.agent.snapshot()
    assert (_code(world, "m"), status.mode) == (Code.NO_FRAMES, "cam0-640")
    assert world.final("m").message.endswith(". Back to cam0-640")
    assert (status.started_at, status.ends_at) == (EPOCH, EPOCH + timedelta(seconds=60))


def test_a_start_that_fails_after_its_first_frames_is_told_as_stopped(world: World) -> None:
    world.broken = dict.fromkeys(("cam0", "cam1"), ev.Cause.CAMERA_BUSY)
    world.command(Start(mode="dual-640"), "a")
    world.post(ev.BytesSeen("cam0", world.alive["cam0"].run_id))
    world.wait(3)
    assert _code(world, "a") is Code.CAMERA_BUSY
    assert [report.fields["reason"] for report in world.reported(EventType.RECORDING_STOPPED)] == ["failed"]


def test_a_job_needs_no_camera_and_its_end_is_the_answer(world: World) -> None:
    world.command(Lock(before_s=60.0), "a", Verb.LOCK)
    world.command(Unlock(label="crash"), "b", Verb.UNLOCK)
    world.post(ev.JobDone("a", Code.LOCK_QUOTA, "the locks take too much", {"locked": 3}))
    assert [job.id for job in world.jobs] == ["a", "b"]
    result = world.final("a")
    assert (result.code, result.message, result.data) == (Code.LOCK_QUOTA, "the locks take too much", {"locked": 3})


def test_a_refusal_names_what_there_is_and_who_asked(world: World) -> None:
    world.command(SelectMode("x" * 50), "a", Verb.MODE)
    assert world.final("a").message.startswith(f"there is no mode '{'x' * 40}': one of cam0-640, cam1-640, demo, ")
    world.post(ev.CommandReceived(Command("b", Verb.SNAPSHOT, Snapshot("cam7"), world.now, by="ha")))
    assert world.final("b").message == "there is no camera 'cam7': one of cam0, cam1"
    assert [report.fields["by"] for report in world.reported(EventType.COMMAND_REFUSED)] == [None, "ha"]
    world.command(Start(), "c", at=EPOCH + timedelta(days=2))
    assert "give an instant from now to 24 h ahead" in world.final("c").message
    world.post(ev.CamerasFound({"cam0": "no cable", "cam1": "no program"}))
    world.command(Snapshot(), "d", Verb.SNAPSHOT)
    assert world.final("d").message == "cam0: no cable; cam1: no program"


def test_a_start_while_recording_names_the_mode_that_is_on() -> None:
    world = _recording()
    world.command(Start(), "a")
    assert world.final("a").message.startswith("recording dual-640 already")


def test_the_machines_own_time_zone_is_in_no_answer(world: World, own_time_zone: None) -> None:
    world.command(Start(), "a", at=EPOCH + timedelta(seconds=5))
    assert world.answers[0][1].message == "waiting for 2026-11-23T09:15:05.000Z"


def test_an_interrupted_command_says_what_to_do_and_took_no_time_that_anybody_knows(world: World) -> None:
    result = interrupted(Command("x", Verb.START, None, world.now), replace(world.now, mono_s=world.mono_s + 60))
    assert result.took_ms == 0
    assert result.message == (
        "the agent was interrupted before it was done: look at the status, and send it again with another id"
    )


def test_an_agent_that_leaves_answers_all_but_the_stop_that_it_sees_through() -> None:
    world = _recording()
    world.command(Snapshot(), "job", Verb.SNAPSHOT)
    world.command(Stop(), "stop", Verb.STOP)
    world.post(ev.StopRequested())
    assert (_code(world, "job"), world.finals("stop")) == (Code.INTERRUPTED, [])
    world.play()
    assert _code(world, "stop") is Code.OK


@pytest.mark.parametrize("problem", ["volume_missing", "disk_error"])
def test_trouble_of_the_volume_without_a_code_of_its_own_is_told_by_its_message(world: World, problem: str) -> None:
    world.command(Start(), "under way")
    world.post(ev.StorageChanged(problem, "plug it in"))
    world.command(Stop(), verb=Verb.STOP)
    world.wait(2)
    world.command(Start(), "late")
    told = [(world.final(name).code, world.final(name).message) for name in ("under way", "late")]
    assert told == [(Code.INTERNAL, "plug it in")] * 2


def test_a_start_that_another_command_overtakes_is_interrupted() -> None:
    for body, verb in ((Stop(), Verb.STOP), (SelectMode("dual-720p"), Verb.MODE)):
        world = World()
        world.command(Start(mode="dual-640"), "a")
        world.command(body, "b", verb)
        assert world.final("a").message == "stopped or changed before every camera ran"
        assert (world.final("a").status, _code(world, "a")) == (ResultStatus.FAILED, Code.INTERRUPTED)
        world.wait(3)
        assert _code(world, "b") is Code.OK


def test_a_start_is_not_answered_by_another_one_of_the_same_mode(world: World) -> None:
    for name in ("a", "b"):
        world.command(Stop(), verb=Verb.STOP)
        world.command(Start(mode="dual-640"), name)
    world.wait(3)
    assert (_code(world, "a"), _code(world, "b")) == (Code.INTERRUPTED, Code.OK)


def test_a_switch_that_a_full_disk_ends_goes_back_to_the_mode_before() -> None:
    world = _recording("cam0-640")
    world.command(SelectMode("cam1-640"), "m", Verb.MODE)
    world.post(ev.StorageChanged("disk_full", "make room"))
    assert (_code(world, "m"), world.final("m").message) == (Code.DISK_FULL, "make room. Back to cam0-640")
    world.post(ev.StorageChanged(None))
    world.wait(3)
    assert set(world.alive) == {"cam0"}


def test_a_switch_that_fails_goes_back_to_the_step_that_was_on() -> None:
    world = _recording("demo")
    world.wait(7)
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.command(SelectMode("cam0-640"), "m", Verb.MODE)
    world.wait(2)
    assert (_code(world, "m"), world.agent.snapshot().mode) == (Code.CAMERA_BUSY, "demo")
    assert world.alive["cam1"].profile.height == 720


def test_a_start_waits_for_a_camera_that_may_yet_come(world: World) -> None:
    world.broken["cam0"] = ev.Cause.CRASHED
    world.command(Start(mode="cam0-640"), "a")
    world.play()
    assert world.agent.snapshot().cameras["cam0"].state is CameraState.BACKOFF
    world.broken.clear()
    world.wait(3)
    assert _code(world, "a") is Code.OK


def test_an_answer_has_the_doors_warnings_and_the_time_that_it_took(world: World) -> None:
    world.post(ev.CommandReceived(Command("a", Verb.START, Start(), world.now, warnings=("mode is spelled so",))))
    world.mono_s += 1.5
    world.play()
    result = world.final("a")
    assert (result.warnings, result.took_ms) == (("mode is spelled so",), 1500)


def test_an_id_that_is_forgotten_may_be_that_of_another_command(world: World) -> None:
    world.command(Start(mode="cam0-640"), "a")
    world.play()
    world.command(Stop(), verb=Verb.STOP)
    world.wait(2)
    for _ in range(REMEMBERED):
        world.command(Ping(), verb=Verb.PING)
    world.command(Start(mode="cam0-640"), "a", at=world.now.wall + timedelta(seconds=5))
    assert len(world.finals("a")) == 1
    world.wait(6)
    assert [(result.code, result.duplicate) for result in world.finals("a")] == [(Code.OK, False)] * 2


def test_what_is_done_is_answered_although_something_older_is_not() -> None:
    world = _recording()
    world.command(Snapshot(), "picture", Verb.SNAPSHOT)
    world.command(Stop(), "stop", Verb.STOP)
    world.wait(2)
    assert (world.finals("picture"), _code(world, "stop")) == ([], Code.OK)
