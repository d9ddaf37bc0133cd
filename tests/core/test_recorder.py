from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.core import events as ev
from edge_agent.core.commands import Start, Stop, Verb
from edge_agent.core.effects import StopRun
from edge_agent.core.events import Cause
from edge_agent.core.model import CameraState, EventType, Now, Purpose, Run
from edge_agent.core.recorder import Recorder, Want
from tests.fakes.world import EPOCH, VGA, World


def _measure(world: World, fps: float, camera: str = "cam0") -> None:
    world.post(ev.FrameRate(camera, world.alive[camera].run_id, fps))


def _recording() -> World:
    world = World()
    world.command(Start(mode="dual-640"), "start")
    world.play()
    return world


def test_half_the_frame_rate_is_named_once_and_disturbs_nothing() -> None:
    world = _recording()
    before = dict(world.alive)
    for fps in (29.8, 15.2, 14.9, 19.0):
        _measure(world, fps)
    (problem,) = world.agent.snapshot().problems
    assert problem.code == "low_frame_rate"
    assert "cam0 delivers 15 of 30" in problem.message
    (fault,) = world.reported(EventType.CAMERA_FAULT)
    assert (fault.fields["camera"], fault.fields["code"]) == ("cam0", "low_frame_rate")
    camera = world.agent.snapshot().cameras["cam0"]
    assert (camera.state, camera.error, camera.restarts) == (CameraState.RUNNING, None, 0)
    world.wait(30)
    assert (world.alive, world.stopping) == (before, set())


def test_the_problem_goes_when_nearly_all_frames_are_back() -> None:
    world = _recording()
    for fps in (15.0, 23.0):
        _measure(world, fps)
    assert [problem.code for problem in world.agent.snapshot().problems] == ["low_frame_rate"]
    _measure(world, 29.0)
    assert world.agent.snapshot().problems == ()
    assert [report.fields for report in world.reported(EventType.CAMERA_RECOVERED)] == [{"camera": "cam0"}]


def test_the_problem_ends_with_the_run() -> None:
    world = _recording()
    _measure(world, 15.0)
    world.command(Stop(), "stop", Verb.STOP)
    world.play()
    assert world.agent.snapshot().problems == ()


def test_a_measurement_of_an_earlier_run_says_nothing() -> None:
    world = _recording()
    world.post(ev.FrameRate("cam0", "an earlier run", 1.0))
    assert world.agent.snapshot().problems == ()


def _alone(jitter: float) -> tuple[Recorder, Now]:
    run = Run("r", 1, "cam0", Purpose.RECORD, VGA, "cam0-640")
    return Recorder("cam0", lambda _camera, _want, _now: run, jitter), Now(1000.0, EPOCH)


def _fail(recorder: Recorder, now: Now, cause: Cause = Cause.CRASHED, *, running: bool = False) -> float:
    """Let it start and end; how long it waits then."""
    recorder.reconcile(Want(Purpose.RECORD, VGA, "cam0-640", None), now)
    if running:
        recorder.bytes_seen(now)
    recorder.ended(cause, "it ended", now)
    retry_mono_s = recorder.next_deadline()
    assert retry_mono_s is not None
    return retry_mono_s - now.mono_s


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_the_wait_doubles_from_one_second_and_is_spread_by_a_fifth(jitter: float, factor: float) -> None:
    recorder, now = _alone(jitter)
    waits = [_fail(recorder, replace(now, mono_s=now.mono_s + 10 * number)) for number in range(4)]
    assert waits == pytest.approx([factor, 2 * factor, 4 * factor, 8 * factor])


def test_a_healthy_run_is_started_again_at_once_but_not_a_second_time_within_a_minute() -> None:
    recorder, now = _alone(0.5)
    later = [replace(now, mono_s=now.mono_s + passed_s) for passed_s in (0.0, 60.0, 120.1)]
    assert [_fail(recorder, at, running=True) for at in later] == [0.0, 2.0, 0.0]


def test_the_fifth_failure_within_a_minute_is_the_last_for_a_minute() -> None:
    recorder, now = _alone(0.5)
    waits = [_fail(recorder, replace(now, mono_s=now.mono_s + 15 * number)) for number in range(5)]
    assert (waits[-1], recorder.state) == (60.0, CameraState.FATAL)


def test_five_clock_steps_a_minute_are_forgiven_and_the_sixth_is_not() -> None:
    recorder, now = _alone(0.5)
    steps = [replace(now, mono_s=now.mono_s + passed_s) for passed_s in (0, 1, 2, 3, 4, 60, 120.1)]
    assert [_fail(recorder, at, Cause.CLOCK_STEP) for at in steps] == [0, 0, 0, 0, 0, 1.0, 0]


def test_a_frame_rate_at_the_limits_is_named_at_neither() -> None:
    world = _recording()
    _measure(world, 18.0)
    assert world.agent.snapshot().problems == ()
    _measure(world, 17.9)
    (problem,) = world.agent.snapshot().problems
    assert problem.message.endswith("throttled or busy (telemetry), or choose a smaller picture")
    assert world.reported(EventType.CAMERA_FAULT)[0].fields["message"] == problem.message
    _measure(world, 24.0)
    assert world.agent.snapshot().problems == ()


def test_failures_over_more_than_a_minute_only_back_off() -> None:
    recorder, now = _alone(0.5)
    for passed_s in (0.0, 15.0, 30.0, 45.0, 60.1):
        _fail(recorder, replace(now, mono_s=now.mono_s + passed_s))
        assert recorder.state is CameraState.BACKOFF


@pytest.mark.parametrize(
    ("silent", "cause", "told"),
    [
        (True, Cause.KILLED, Cause.NO_FRAMES),
        (True, Cause.STOPPED, Cause.NO_FRAMES),
        (True, Cause.CRASHED, Cause.CRASHED),
        (False, Cause.KILLED, Cause.KILLED),
    ],
)
def test_an_end_after_silence_is_told_as_silence_unless_it_says_more(silent: bool, cause: Cause, told: Cause) -> None:
    recorder, now = _alone(0.5)
    want = Want(Purpose.RECORD, VGA, "cam0-640", None)
    recorder.reconcile(want, now)
    later = replace(now, mono_s=now.mono_s + 10)
    if silent:
        assert recorder.reconcile(want, later) == [StopRun("r")]
    recorder.ended(cause, "it ended", later)
    assert recorder.cause is told
    assert recorder.error is not None
    assert recorder.error.startswith("The camera delivered nothing for 10 s" if told is Cause.NO_FRAMES else "it ended")


def test_a_failure_of_long_ago_does_not_hide_five_within_a_minute() -> None:
    recorder, now = _alone(0.5)
    for passed_s in (0.0, 100.0, 110.0, 125.0, 140.0, 155.0):
        assert recorder.state is not CameraState.FATAL
        _fail(recorder, replace(now, mono_s=now.mono_s + passed_s))
    assert recorder.state is CameraState.FATAL
