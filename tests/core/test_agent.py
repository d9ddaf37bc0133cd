from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edge_agent.core import events as ev
from edge_agent.core.commands import (
    Command,
    Ping,
    Refusal,
    SelectDuration,
    SelectMode,
    Snapshot,
    Start,
    Stop,
    StopStream,
    Stream,
    Verb,
)
from edge_agent.core.effects import Compare
from edge_agent.core.model import (
    CameraState,
    Code,
    DeviceState,
    EventType,
    Problem,
    Profile,
    Purpose,
    ResultStatus,
    RunRecord,
    Session,
)
from edge_agent.core.recorder import NOTHING_CAME
from edge_agent.core.status import CameraStatus
from tests.fakes.world import EPOCH, FRESH, World, job_done


@pytest.fixture
def world() -> World:
    return World()


def _recording(mode: str = "dual-640", duration_s: float | None = None) -> World:
    world = World()
    world.command(Start(mode=mode, duration_s=duration_s, label="trip"), "start")
    world.play()
    assert world.agent.snapshot().state is DeviceState.RECORDING
    return world


def test_start_is_accepted_and_succeeds_when_every_camera_delivers(world: World) -> None:
    world.command(Start(mode="dual-640"), "a")
    assert [result.status for _, result in world.answers] == [ResultStatus.ACCEPTED]
    assert world.agent.snapshot().state is DeviceState.STARTING
    world.play()
    assert world.final("a").status is ResultStatus.SUCCEEDED
    assert world.agent.snapshot().started_at == EPOCH


def test_stop_succeeds_when_the_footage_is_stored_and_not_before() -> None:
    world = _recording()
    world.command(Stop(), "stop", Verb.STOP)
    assert world.agent.snapshot().state is DeviceState.STOPPING
    for camera in ("cam0", "cam1"):
        world.kill(camera, ev.Cause.STOPPED)
    assert world.finals("stop") == []
    assert world.reported(EventType.RECORDING_STOPPED) == []
    world.play()
    assert world.final("stop").code is Code.OK
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert len(world.reported(EventType.RECORDING_STOPPED)) == 1


def test_stop_while_idle_succeeds_and_changes_nothing(world: World) -> None:
    world.command(Stop(), "stop", Verb.STOP)
    assert world.final("stop").status is ResultStatus.SUCCEEDED
    assert world.alive == {}


def test_start_while_recording_is_rejected_and_disturbs_nothing() -> None:
    world = _recording()
    before = dict(world.alive)
    world.command(Start(mode="cam0-640"), "b")
    assert (world.final("b").status, world.final("b").code) == (ResultStatus.REJECTED, Code.ALREADY_RECORDING)
    assert world.alive == before


def test_late_and_doubled_news_of_a_run_that_is_over_changes_nothing() -> None:
    world = _recording()
    over = world.alive["cam0"]
    world.kill("cam0")
    assert world.alive["cam0"].run_id != over.run_id
    before, alive = world.agent.snapshot(), dict(world.alive)
    for news in (
        ev.FirstFrame("cam0", over.run_id, world.now),
        ev.BytesSeen("cam0", over.run_id),
        ev.SegmentOpened("cam0", over.run_id, "a.mp4"),
        ev.FrameRate("cam0", over.run_id, 5.0),
        ev.RunEnded("cam0", over.run_id, ev.Cause.KILLED, "again"),
        ev.RunClosed(over.run_id),
    ):
        world.post(news)
        assert (world.agent.snapshot(), world.alive) == (before, alive)


def test_stream_is_refused_while_recording_and_so_is_its_off() -> None:
    world = _recording()
    world.command(Stream(), "on", Verb.STREAM)
    world.command(StopStream(), "off", Verb.STREAM)
    assert {world.final(name).code for name in ("on", "off")} == {Code.ALREADY_RECORDING}


def test_start_while_streaming_turns_to_recording(world: World) -> None:
    world.command(Stream(), "s", Verb.STREAM)
    world.play()
    status = world.agent.snapshot()
    assert (status.state, {camera.purpose for camera in status.cameras.values()}) == (
        DeviceState.STREAMING,
        {Purpose.LIVE},
    )
    assert not any(camera.recording for camera in status.cameras.values())
    world.command(Start(mode="cam0-640"), "r")
    world.wait(3)
    assert world.final("r").code is Code.OK
    assert {run.camera: run.purpose for run in world.alive.values()} == {"cam0": Purpose.RECORD}


def test_a_duration_ends_the_recording_counted_from_the_first_frame() -> None:
    world = _recording(duration_s=10)
    assert world.agent.snapshot().ends_at == EPOCH + timedelta(seconds=10)
    world.wait(9.5)
    assert world.agent.snapshot().state is DeviceState.RECORDING
    world.wait(2)
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert world.reported(EventType.RECORDING_STOPPED)[0].fields["reason"] == "duration"


def test_a_start_without_a_duration_takes_the_one_that_is_selected(world: World) -> None:
    world.command(SelectDuration(20.0), "d", Verb.DURATION)
    world.command(Start(mode="dual-640"), "a")
    world.play()
    status = world.agent.snapshot()
    assert (status.duration_s, status.ends_at) == (20.0, EPOCH + timedelta(seconds=20))


def test_a_new_duration_moves_the_deadline_from_the_start_of_the_recording() -> None:
    world = _recording(duration_s=10)
    world.wait(5)
    world.command(SelectDuration(20.0), "d", Verb.DURATION)
    assert world.agent.snapshot().ends_at == EPOCH + timedelta(seconds=20)
    world.command(SelectDuration(3.0), "e", Verb.DURATION)
    world.wait(2)
    assert world.agent.snapshot().state is DeviceState.IDLE


def test_a_mode_switch_while_recording_keeps_deadline_and_label() -> None:
    world = _recording(duration_s=60)
    world.wait(5)
    world.command(SelectMode("dual-720p"), "m", Verb.MODE)
    assert world.agent.snapshot().state is DeviceState.STARTING, "a change is no fault"
    world.wait(3)
    status = world.agent.snapshot()
    assert world.final("m").code is Code.OK
    assert (status.mode, status.label, status.ends_at) == ("dual-720p", "trip", EPOCH + timedelta(seconds=60))
    assert {run.profile.height for run in world.alive.values()} == {720}


def test_a_mode_switch_that_fails_goes_back_to_the_mode_before() -> None:
    world = _recording("cam0-640")
    world.broken["cam1"] = ev.Cause.CAMERA_BUSY
    world.command(SelectMode("cam1-640"), "m", Verb.MODE)
    world.wait(3)
    assert (world.final("m").status, world.final("m").code) == (ResultStatus.FAILED, Code.CAMERA_BUSY)
    assert world.agent.snapshot().mode == world.agent.selected_mode == "cam0-640"
    assert set(world.alive) == {"cam0"}


def test_a_start_with_a_busy_camera_fails_by_name_and_leaves_the_device_idle(world: World) -> None:
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.command(Start(mode="cam0-640"), "a")
    world.play()
    assert (world.final("a").status, world.final("a").code) == (ResultStatus.FAILED, Code.CAMERA_BUSY)
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert world.alive == {}


def test_a_start_with_one_of_two_cameras_busy_records_the_other_and_says_partial(world: World) -> None:
    world.broken["cam1"] = ev.Cause.CAMERA_BUSY
    world.command(Start(mode="dual-640"), "a")
    world.play()
    result = world.final("a")
    assert (result.status, result.code) == (ResultStatus.FAILED, Code.PARTIAL)
    assert result.data == {"running": ["cam0"], "waiting": ["cam1"]}
    assert result.message.startswith("recording on cam0 only, still trying the rest. cam1: ")
    assert world.agent.snapshot().state is DeviceState.RECORDING
    world.broken.clear()
    world.wait(70)
    assert world.agent.snapshot().cameras["cam1"].state is CameraState.RUNNING


def test_a_start_without_frames_fails_within_fifteen_seconds(world: World) -> None:
    world.frozen.update(("cam0", "cam1"))
    world.command(Start(mode="dual-640"), "a")
    world.wait(15)
    assert (world.final("a").status, world.final("a").code) == (ResultStatus.FAILED, Code.NO_FRAMES)
    assert 0 < world.final("a").took_ms <= 15_000


def test_a_killed_camera_is_restarted_at_once_and_the_other_is_untouched() -> None:
    world = _recording()
    world.wait(5)
    other = world.alive["cam1"]
    world.kill("cam0")
    world.wait(1)
    assert world.agent.snapshot().cameras["cam0"].state is CameraState.RUNNING
    assert world.alive["cam1"] == other
    assert world.reported(EventType.CAMERA_FAULT)
    assert world.reported(EventType.CAMERA_RECOVERED)


def test_a_silent_camera_is_stopped_after_ten_seconds_and_named() -> None:
    world = _recording("cam0-640")
    world.frozen.add("cam0")
    world.wait(9)
    assert world.stopping == set()
    world.wait(3)
    assert any(problem.code == "no_frames" for problem in world.agent.snapshot().problems)


def test_five_failures_in_a_minute_are_fatal_and_retried_every_minute() -> None:
    world = _recording("cam0-640")
    world.broken["cam0"] = ev.Cause.CRASHED
    world.wait(20)
    assert world.agent.snapshot().cameras["cam0"].state is CameraState.FATAL
    assert world.agent.snapshot().state is DeviceState.FAULT
    tries = world.agent.snapshot().cameras["cam0"].restarts
    world.wait(60)
    assert world.agent.snapshot().cameras["cam0"].restarts == tries + 1
    world.broken.clear()
    world.wait(61)
    assert world.agent.snapshot().cameras["cam0"].state is CameraState.RUNNING
    assert world.agent.snapshot().problems == ()


def test_deaths_by_clock_steps_are_restarted_without_backoff() -> None:
    world = _recording("cam0-640")
    for _ in range(4):
        world.kill("cam0", ev.Cause.CLOCK_STEP)
        assert world.agent.snapshot().cameras["cam0"].state is CameraState.STARTING
        world.play()


def test_the_same_id_is_executed_once_and_answered_twice(world: World) -> None:
    world.command(Start(mode="dual-640"), "same")
    world.command(Start(mode="dual-640"), "same")
    world.play()
    first, second = world.finals("same")
    assert second == replace(first, duplicate=True)
    world.command(Start(mode="dual-640"), "same")
    assert world.finals("same")[-1].duplicate


def test_a_missing_camera_refuses_modes_that_name_it(world: World) -> None:
    world.post(ev.CamerasFound({"cam1": "rpicam-vid lists no camera 1"}))
    world.command(Start(mode="dual-640"), "a")
    assert (world.final("a").status, world.final("a").code) == (ResultStatus.REJECTED, Code.CAMERA_MISSING)
    assert "rpicam-vid lists no camera 1" in world.final("a").message


def test_a_full_disk_stops_the_recording_and_room_lets_it_go_on() -> None:
    world = _recording()
    world.post(ev.StorageChanged("disk_full", "delete something"))
    world.wait(1)
    assert world.agent.snapshot().state is DeviceState.FAULT
    assert world.alive == {}
    world.command(Start(), "late")
    assert world.final("late").code is Code.ALREADY_RECORDING
    world.post(ev.StorageChanged(None))
    world.wait(1)
    assert world.agent.snapshot().state is DeviceState.RECORDING


def test_viewers_get_a_live_camera_while_idle_and_recording_takes_it_over(world: World) -> None:
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.play()
    assert world.agent.snapshot().state is DeviceState.IDLE
    purposes = [world.alive["cam0"].purpose]
    world.command(Start(mode="cam0-640"), "a")
    world.wait(2)
    purposes.append(world.alive["cam0"].purpose)
    world.command(Stop(), "b", Verb.STOP)
    world.wait(2)
    purposes.append(world.alive["cam0"].purpose)
    assert purposes == [Purpose.LIVE, Purpose.RECORD, Purpose.LIVE]
    assert world.reported(EventType.CAMERA_RECOVERED) == [], "nothing was wrong"
    world.post(ev.LiveWanted("cam0", wanted=False))
    world.wait(2)
    assert world.alive == {}


def test_demo_shows_each_step_for_its_length_and_then_is_idle() -> None:
    world = World()
    world.command(Start(mode="demo"), "a")
    world.wait(3)
    assert {run.profile.height for run in world.alive.values()} == {480}
    world.wait(5)
    assert {run.profile.height for run in world.alive.values()} == {720}
    world.wait(6)
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert [report.fields["reason"] for report in world.reported(EventType.RECORDING_STOPPED)] == ["complete"]


def test_the_end_of_a_demo_counts_the_changes_between_its_steps() -> None:
    world = World()
    world.command(Start(mode="demo"), "a")
    world.play()
    assert world.agent.snapshot().ends_at == EPOCH + timedelta(seconds=5 + 1 + 5)
    told = set()
    for _ in range(200):
        world.wait(0.1)
        status = world.agent.snapshot()
        if status.state is DeviceState.IDLE:
            break
        told.add(status.ends_at)
    ended_at = world.now.wall
    assert len(told - {None}) <= 2, "it does not tick"
    assert max(abs((ends_at - ended_at).total_seconds()) for ends_at in told if ends_at) <= 1.5


def test_the_end_of_a_sample_counts_from_the_switch_to_it() -> None:
    world = _recording(duration_s=600)
    world.wait(100)
    world.command(SelectMode("quick"), "m", Verb.MODE)
    world.wait(4)
    ends_at = world.agent.snapshot().ends_at
    assert ends_at is not None
    while world.agent.snapshot().state is not DeviceState.IDLE:
        world.wait(0.1)
    assert abs((world.now.wall - ends_at).total_seconds()) <= 1.5


def test_quick_ends_with_one_comparison_of_both_cameras() -> None:
    world = World()
    world.command(Start(mode="quick"), "a")
    world.wait(14)
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert [comparison.cameras for comparison in world.compared] == [("cam0", "cam1")]


def test_a_common_start_instant_is_waited_for(world: World) -> None:
    world.command(Start(mode="cam0-640"), "a", at=EPOCH + timedelta(seconds=5))
    world.wait(4.9)
    assert world.alive == {}
    world.wait(0.1)
    assert set(world.alive) == {"cam0"}
    assert [result.status for _, result in world.answers] == [ResultStatus.ACCEPTED, ResultStatus.SUCCEEDED]


def test_a_stop_before_a_common_start_instant_cancels_it(world: World) -> None:
    world.command(Start(mode="cam0-640"), "a", at=EPOCH + timedelta(seconds=5))
    world.command(Stop(), "b", Verb.STOP)
    world.wait(6)
    assert world.final("a").code is Code.INTERRUPTED
    assert world.alive == {}


def test_jobs_are_handed_out_and_settled_by_their_end_or_in_time(world: World) -> None:
    world.command(Snapshot(), "a", Verb.SNAPSHOT)
    world.post(job_done("a"))
    world.command(Snapshot(), "b", Verb.SNAPSHOT)
    world.command(Snapshot(), "c", Verb.SNAPSHOT)
    world.wait(29)
    world.post(job_done("b"))
    assert [command.id for command in world.jobs] == ["a", "b", "c"]
    assert [world.final(one).code for one in "abc"] == [Code.OK, Code.TIMEOUT, Code.TIMEOUT]


def test_adopted_recordings_go_on_with_their_start_and_deadline() -> None:
    first = _recording(duration_s=60)
    session = first.agent.session
    assert session is not None
    runs = [RunRecord(run, session, ("x",), first.now) for run in first.alive.values()]
    later = World(first.saved, mono_s=1020.0, alive=dict(first.alive))
    later.post(ev.Booted(tuple(runs), first.saved.session))
    status = later.agent.snapshot()
    assert (status.state, status.started_at, status.label) == (DeviceState.RECORDING, EPOCH, "trip")
    assert later.reported(EventType.RECORDING_STARTED) == []
    later.wait(41)
    assert later.agent.snapshot().state is DeviceState.IDLE


def test_a_deadline_that_passed_while_no_agent_looked_is_enforced_at_once() -> None:
    first = _recording(duration_s=60)
    session = first.agent.session
    assert session is not None
    runs = [RunRecord(run, session, ("x",), first.now) for run in first.alive.values()]
    later = World(first.saved, mono_s=2000.0, alive=dict(first.alive))
    later.post(ev.Booted(tuple(runs), first.saved.session))
    assert later.stopping == {run.run_id for run in first.alive.values()}


def test_autostart_records_the_selected_mode_when_nothing_is_to_be_resumed() -> None:
    world = World()
    world.post(ev.Booted(autostart=True))
    world.play()
    assert world.agent.snapshot().state is DeviceState.RECORDING


def test_leaving_stops_recordings_and_remembers_them_for_the_next_start() -> None:
    world = _recording()
    world.post(ev.StopRequested())
    world.wait(1)
    assert world.alive == {}
    assert world.agent.snapshot().state is DeviceState.IDLE
    assert isinstance(world.saved.session, Session)


def test_leaving_answers_what_will_not_be_seen_through_and_sees_a_stop_through() -> None:
    world = _recording()
    world.command(Snapshot(), "picture", Verb.SNAPSHOT)
    world.command(Stop(), "stop", Verb.STOP)
    world.command(Start(), "again")
    world.command(Start(), "later", at=world.now.wall + timedelta(minutes=1))
    world.post(ev.StopRequested())
    assert world.final("picture").code is Code.INTERRUPTED
    assert world.final("later").code is Code.INTERRUPTED
    assert world.final("again").code is Code.INTERRUPTED
    world.wait(1)
    assert world.final("stop").status is ResultStatus.SUCCEEDED
    assert {len(world.finals(one)) for one in ("picture", "later", "stop", "again")} == {1}


def test_selected_mode_and_duration_are_saved(world: World) -> None:
    world.command(SelectMode("cam1-640"), "m", Verb.MODE)
    world.command(SelectDuration(90.0), "d", Verb.DURATION)
    assert (world.saved.selected_mode, world.saved.selected_duration_s) == ("cam1-640", 90.0)


def test_cameras_with_a_resolution_find_their_mode(world: World) -> None:
    world.command(Start(cameras=("cam1",), resolution="640"), "a")
    assert set(world.alive) == {"cam1"}
    other = World()
    other.command(Start(cameras=("cam9",)), "b")
    other.command(Start(resolution="8k"), "c")
    assert (other.final("b").code, other.final("c").code) == (Code.UNKNOWN_CAMERA, Code.OUT_OF_RANGE)


def test_ping_tells_the_state(world: World) -> None:
    world.command(Ping(), "p", Verb.PING)
    assert world.final("p").message == "idle"


def test_what_the_door_refused_may_be_mended_and_sent_again_under_the_same_id(world: World) -> None:
    refused = Command("a", Verb.START, None, world.now, refusal=Refusal(Code.RETAINED, "send it without retain"))
    world.post(ev.CommandReceived(refused))
    world.command(Start(mode="cam0-640"), "a")
    world.play()
    assert [result.code for result in world.finals("a")] == [Code.RETAINED, Code.OK]


def test_another_live_profile_restarts_live_programs_only(world: World) -> None:
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.command(Start(mode="cam1-640"), "a")
    world.wait(2)
    recorder = world.alive["cam1"]
    world.post(ev.LiveProfileChosen(Profile(320, 240, 10, quality=50)))
    world.wait(2)
    assert (world.alive["cam0"].profile.width, world.alive["cam1"]) == (320, recorder)


def test_a_recorder_that_outlives_a_stop_is_not_taken_for_a_recording() -> None:
    first = _recording()
    runs = [
        RunRecord(run, first.agent.session, ("x",), first.now) for run in first.alive.values() if first.agent.session
    ]
    first.command(Stop(), "stop", Verb.STOP)
    later = World(first.saved, mono_s=1020.0, alive=dict(first.alive))
    later.post(ev.Booted(tuple(runs), first.saved.session))
    assert later.stopping == {run.run_id for run in first.alive.values()}
    later.play()
    assert later.agent.snapshot().state is DeviceState.IDLE


def test_the_start_that_only_the_recorders_remember_is_believed() -> None:
    first = _recording(duration_s=60)
    session = first.agent.session
    assert session is not None
    runs = [RunRecord(run, session, ("x",), first.now) for run in first.alive.values()]
    later = World(first.saved, mono_s=1020.0, alive=dict(first.alive))
    later.post(ev.Booted(tuple(runs), replace(session, started=None)))
    assert later.agent.snapshot().started_at == EPOCH


def test_quick_compares_when_its_footage_is_stored_and_not_before() -> None:
    world = World()
    world.command(Start(mode="quick"), "a")
    world.play()
    run_ids = frozenset(run.run_id for run in world.alive.values())
    world.wait(10.5, playing=False)
    assert world.agent.snapshot().state is DeviceState.STOPPING
    assert world.compared == []
    world.play()
    assert world.compared == [Compare(("cam0", "cam1"), run_ids)]


def test_quick_ends_although_one_camera_never_delivers() -> None:
    world = World()
    world.broken["cam1"] = ev.Cause.CAMERA_BUSY
    world.command(Start(mode="quick"), "a")
    world.wait(40)
    assert world.final("a").code is Code.PARTIAL
    assert world.agent.snapshot().state is DeviceState.IDLE


def test_a_camera_that_was_missing_for_a_while_is_no_problem_any_more() -> None:
    world = _recording()
    world.broken["cam1"] = ev.Cause.CAMERA_MISSING
    world.kill("cam1")
    world.wait(5)
    assert {problem.code for problem in world.agent.snapshot().problems} == {"camera_missing"}
    world.broken.clear()
    world.wait(30)
    assert world.agent.snapshot().problems == ()


def test_a_step_lasts_its_length_from_the_first_frame_of_the_last_camera(world: World) -> None:
    world.command(Start(mode="quick"), "a")
    first, second = world.alive["cam0"], world.alive["cam1"]
    world.post(ev.FirstFrame("cam0", first.run_id, world.now))
    world.mono_s += 0.2
    world.post(ev.FirstFrame("cam1", second.run_id, world.now))
    world.mono_s += 1.2  # a fragment is a second long, and only then are there bytes to see
    world.post(ev.BytesSeen("cam0", first.run_id))
    world.post(ev.BytesSeen("cam1", second.run_id))
    assert world.agent.next_deadline() == pytest.approx(1000.2 + 10)


def test_a_start_shorter_than_its_first_fragment_succeeds(world: World) -> None:
    world.command(Start(mode="cam0-640", duration_s=1.0), "a")
    world.post(ev.FirstFrame("cam0", world.alive["cam0"].run_id, world.now))
    world.wait(1.1, playing=False)
    assert world.final("a").code is Code.OK
    assert world.final("a").message == "cam0-640 ran for its whole duration"


def test_a_camera_that_is_only_watched_begins_no_recording_of_the_other(world: World) -> None:
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.play()
    world.command(Start(mode="cam1-640"), "a")
    world.post(ev.BytesSeen("cam0", world.alive["cam0"].run_id))
    status = world.agent.snapshot()
    assert (status.state, status.started_at) == (DeviceState.STARTING, None)
    assert world.reported(EventType.RECORDING_STARTED) == []


def test_pictures_for_viewers_begin_no_recording_that_waits_for_room() -> None:
    world = World()
    world.post(ev.StorageChanged("disk_full", "make room"))
    world.post(ev.Booted(autostart=True))
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.play()
    assert {run.purpose for run in world.alive.values()} == {Purpose.LIVE}
    status = world.agent.snapshot()
    assert (status.state, status.started_at) == (DeviceState.FAULT, None)
    assert world.reported(EventType.RECORDING_STARTED) == []


def test_an_agent_that_adopts_tells_how_many_and_tells_no_second_start() -> None:
    first = _recording()
    session = first.agent.session
    assert session is not None
    gone = replace(first.alive["cam0"], camera="cam9")
    runs = [RunRecord(run, session, ("x",), first.now) for run in (gone, *first.alive.values())]
    later = World(first.saved, mono_s=1020.0, alive=dict(first.alive))
    later.post(ev.Booted(tuple(runs), first.saved.session))
    later.play()
    assert [report.fields for report in later.reported(EventType.AGENT_STARTED)] == [{"adopted": 3}]
    assert set(later.alive) == {"cam0", "cam1"}
    assert later.stopping == set()
    later.command(Stop(), "stop", Verb.STOP)
    later.wait(2)
    assert later.reported(EventType.RECORDING_STARTED) == []
    assert len(later.reported(EventType.RECORDING_STOPPED)) == 1


def test_a_recording_that_had_not_begun_when_the_agent_died_is_told_when_it_begins() -> None:
    first = World()
    first.command(Start(mode="dual-640"), "a")
    later = World(first.saved)
    later.post(ev.Booted((), first.saved.session))
    later.play()
    assert len(later.reported(EventType.RECORDING_STARTED)) == 1


def test_autostart_takes_what_is_selected() -> None:
    world = World(replace(FRESH, selected_mode="cam1-640", selected_duration_s=5.0))
    world.post(ev.Booted(autostart=True))
    world.play()
    status = world.agent.snapshot()
    assert (status.mode, status.ends_at) == ("cam1-640", EPOCH + timedelta(seconds=5))
    assert world.saved.session is not None
    assert world.saved.session.id == "s1"


def test_a_fault_is_told_once_until_it_is_another_one() -> None:
    world = _recording("cam0-640")
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.wait(10)
    world.broken["cam0"] = ev.Cause.CRASHED
    world.wait(10)
    told = [(report.fields["code"], report.fields["message"]) for report in world.reported(EventType.CAMERA_FAULT)]
    assert told == [("camera_busy", "camera_busy it was"), ("crashed", "crashed it was")]


def test_every_missing_camera_is_a_problem_of_its_own(world: World) -> None:
    world.post(ev.CamerasFound({"cam0": "no cable", "cam1": "no cable"}))
    problems = [(problem.code, problem.message) for problem in world.agent.snapshot().problems]
    assert problems == [("camera_missing", "cam0: no cable"), ("camera_missing", "cam1: no cable")]


def test_the_status_is_that_of_the_recording_and_of_its_cameras() -> None:
    world = _recording("cam0-640", duration_s=60)
    world.post(ev.CamerasFound({"cam1": "no cable"}))
    world.post(ev.SegmentOpened("cam0", world.alive["cam0"].run_id, "a.mp4"))
    world.command(Ping(), "p", Verb.PING)
    status = world.agent.snapshot()
    assert (status.mode, status.selected_mode, status.duration_s) == ("cam0-640", "dual-640", 60)
    assert status.last_command == world.final("p")
    assert status.cameras["cam0"] == CameraStatus(
        CameraState.RUNNING,
        recording=True,
        width=640,
        height=480,
        fps=30,
        segment="a.mp4",
        verified_until=None,
        restarts=0,
        error=None,
        purpose=Purpose.RECORD,
    )
    assert (status.cameras["cam1"].error, status.cameras["cam1"].purpose) == ("no cable", None)


def test_the_device_starts_while_a_camera_does_and_stops_until_all_is_stored(world: World) -> None:
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.frozen.add("cam1")
    world.command(Start(mode="dual-640"), "a")
    assert world.agent.snapshot().state is DeviceState.STARTING
    world.play()
    assert world.agent.snapshot().state is DeviceState.STARTING
    world.post(ev.StorageChanged("disk_full", "make room"))
    assert world.agent.snapshot().state is DeviceState.STOPPING
    recording = _recording()
    recording.post(ev.StorageChanged("disk_full", "make room"))
    assert recording.agent.snapshot().state is DeviceState.STOPPING


def test_the_next_deadline_is_the_nearest_of_all() -> None:
    world = _recording("cam0-640")
    assert world.agent.next_deadline() == world.mono_s + 10
    world.command(SelectDuration(8.0), "d", Verb.DURATION)
    assert world.agent.next_deadline() == world.mono_s + 8
    world.command(Snapshot(), "s", Verb.SNAPSHOT, at=EPOCH + timedelta(seconds=7))
    assert world.agent.next_deadline() == world.mono_s + 7
    world.kill("cam0", ev.Cause.CAMERA_BUSY)
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.play()
    assert world.agent.next_deadline() == world.mono_s + 2


def test_an_idle_device_tells_nothing_of_a_recording(world: World) -> None:
    status = world.agent.snapshot()
    assert (status.mode, status.label, status.last_command) == (None, None, None)
    assert status.cameras["cam0"] == CameraStatus(
        CameraState.STOPPED,
        recording=False,
        width=None,
        height=None,
        fps=None,
        segment=None,
        verified_until=None,
        restarts=0,
        error=None,
        purpose=None,
    )


def test_a_camera_records_when_it_delivers_and_not_before(world: World) -> None:
    world.command(Start(mode="cam0-640"), "a")
    recording = [world.agent.snapshot().cameras["cam0"].recording]
    world.play()
    recording.append(world.agent.snapshot().cameras["cam0"].recording)
    assert recording == [False, True]


def test_what_is_saved_already_is_not_saved_again(world: World) -> None:
    world.post(ev.DeadlinePassed())
    assert world.saved is FRESH
    world.command(SelectDuration(90.0), "d", Verb.DURATION)
    saved = world.saved
    world.post(ev.DeadlinePassed())
    assert world.saved is saved is not FRESH


def test_what_was_answered_before_a_restart_is_answered_alike_and_not_obeyed_again() -> None:
    first = _recording()
    answer = first.final("start")
    later = World(first.saved, answered={"start": answer})
    later.command(Start(mode="dual-640"), "start")
    assert (later.final("start"), later.alive) == (replace(answer, duplicate=True), {})


def test_runs_are_numbered_on_and_on_over_a_restart() -> None:
    first = _recording()
    later = World(first.saved)
    later.post(ev.Booted((), first.saved.session))
    assert [run.run_id for run in (*first.alive.values(), *later.alive.values())] == [
        "20261123T091500Z-000001-cam0",
        "20261123T091500Z-000002-cam1",
        "20261123T091500Z-000003-cam0",
        "20261123T091500Z-000004-cam1",
    ]
    assert [run.sequence for run in (*first.alive.values(), *later.alive.values())] == [1, 2, 3, 4]


def test_a_late_picture_of_a_live_view_that_ends_begins_no_recording(world: World) -> None:
    world.command(Stream(), "s", Verb.STREAM)
    world.command(Start(mode="cam1-640"), "a")
    world.post(ev.FirstFrame("cam0", world.alive["cam0"].run_id, world.now))
    assert world.agent.snapshot().started_at is None


def test_a_stream_goes_on_with_what_viewers_see(world: World) -> None:
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.play()
    seen = world.alive["cam0"]
    world.command(Stream(), "s", Verb.STREAM)
    world.play()
    assert (world.alive["cam0"], world.stopping) == (seen, set())


def test_a_stop_that_was_asked_for_is_no_fault_the_second_time_either() -> None:
    world = _recording()
    for _ in range(2):
        world.command(Stop(), verb=Verb.STOP)
        world.wait(2)
        world.command(Start(mode="dual-640"))
        world.wait(2)
    assert world.reported(EventType.CAMERA_FAULT) == []
    assert [camera.restarts for camera in world.agent.snapshot().cameras.values()] == [0, 0]


def test_a_silent_camera_is_told_as_such_and_not_as_the_stop_that_ended_it() -> None:
    world = _recording("cam0-640")
    world.frozen.add("cam0")
    world.wait(12)
    (fault,) = world.reported(EventType.CAMERA_FAULT)
    assert (fault.fields["code"], fault.fields["message"]) == ("no_frames", NOTHING_CAME)


def test_trouble_is_listed_while_a_camera_tries_again_and_gone_when_that_is_stopped() -> None:
    world = _recording("cam0-640")
    world.broken["cam0"] = ev.Cause.CAMERA_BUSY
    world.wait(2)
    world.broken.clear()
    world.frozen.add("cam0")
    world.wait(3)
    status = world.agent.snapshot()
    assert status.cameras["cam0"].state is CameraState.STARTING
    since = EPOCH + timedelta(seconds=2)
    assert status.problems == (Problem("camera_busy", "cam0: camera_busy it was", since),)
    world.command(Stop(), "stop", Verb.STOP)
    world.play()
    assert world.agent.snapshot().problems == ()


def test_a_recording_does_not_wait_for_the_back_off_of_the_live_view_before_it(world: World) -> None:
    world.broken["cam0"] = ev.Cause.CRASHED
    world.command(Stream(), "s", Verb.STREAM)
    world.wait(25)
    assert world.agent.snapshot().cameras["cam0"].state is CameraState.FATAL
    world.broken.clear()
    world.command(Start(mode="cam0-640"), "a")
    world.play()
    camera = world.agent.snapshot().cameras["cam0"]
    assert (camera.state, camera.restarts, camera.error) == (CameraState.RUNNING, 0, None)
