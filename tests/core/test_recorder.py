from __future__ import annotations

from edge_agent.core import events as ev
from edge_agent.core.commands import Start, Stop, Verb
from edge_agent.core.model import CameraState, EventType
from tests.fakes.world import World


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
