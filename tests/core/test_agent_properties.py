from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.core import events as ev
from edge_agent.core.commands import Body, SelectDuration, SelectMode, Start, Stop, StopStream, Stream, Verb
from edge_agent.core.model import CameraState, DeviceState, Purpose
from edge_agent.core.recorder import TRANSITIONS
from tests.fakes.world import MODES, World

BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(Start, mode=st.sampled_from([*MODES, "nonsense", None]), duration_s=st.sampled_from([None, 0.0, 3.0])),
    st.just(Stop()),
    st.just(Stream()),
    st.just(StopStream()),
    st.builds(SelectMode, st.sampled_from([*MODES, "nonsense"])),
    st.builds(SelectDuration, st.sampled_from([0.0, 2.0, 1e9])),
)
CAUSES = st.sampled_from(list(ev.Cause))


class AnyLife(RuleBasedStateMachine):
    """Whatever comes in whatever order: one process a camera (asserted by the world), each command settled once."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.ids: list[str] = []

    @rule(body=BODIES)
    def give(self, body: Body) -> None:
        self.ids.append(self.world.command(body, verb=Verb.START))

    @rule(seconds=st.floats(0.01, 30.0), playing=st.booleans())
    def wait(self, seconds: float, *, playing: bool) -> None:
        self.world.wait(seconds, playing=playing)

    @rule(data=st.data(), cause=CAUSES)
    def kill(self, data: Any, cause: ev.Cause) -> None:
        if self.world.alive:
            self.world.kill(data.draw(st.sampled_from(sorted(self.world.alive))), cause)

    @rule(camera=st.sampled_from(["cam0", "cam1"]), frozen=st.booleans())
    def freeze(self, camera: str, *, frozen: bool) -> None:
        (self.world.frozen.add if frozen else self.world.frozen.discard)(camera)

    @rule(camera=st.sampled_from(["cam0", "cam1"]), cause=st.none() | CAUSES)
    def break_camera(self, camera: str, cause: ev.Cause | None) -> None:
        self.world.broken.pop(camera, None)
        if cause:
            self.world.broken[camera] = cause

    @rule(problem=st.sampled_from([None, "disk_full", "read_only"]))
    def storage(self, problem: str | None) -> None:
        self.world.post(ev.StorageChanged(problem, "look at the disk"))

    @rule(camera=st.sampled_from(["cam0", "cam1"]), wanted=st.booleans())
    def view(self, camera: str, *, wanted: bool) -> None:
        self.world.post(ev.LiveWanted(camera, wanted=wanted))

    @rule(data=st.data(), cause=CAUSES)
    def tell_again(self, data: Any, cause: ev.Cause) -> None:
        """News of a run that lives or has lived, late or doubled; that it has ended not before it has."""
        world = self.world
        newest = [world.records[run_id].run for run_id in sorted(world.records)[-4:]]
        if not (runs := [*world.alive.values(), *newest]):
            return
        run = data.draw(st.sampled_from(runs))
        news: list[ev.Event] = [
            ev.FirstFrame(run.camera, run.run_id, world.now),
            ev.BytesSeen(run.camera, run.run_id),
            ev.SegmentOpened(run.camera, run.run_id, "a.mp4"),
            ev.FrameRate(run.camera, run.run_id, 5.0),
        ]
        if run not in world.alive.values():
            news += [ev.RunEnded(run.camera, run.run_id, cause, "again"), ev.RunClosed(run.run_id)]
        world.post(data.draw(st.sampled_from(news)))

    @rule(died=st.sets(st.sampled_from(["cam0", "cam1"])))
    def be_killed(self, died: set[str]) -> None:
        """The agent; recorders live on, or have `died` when the next one looks. What was open is forgotten here."""
        old = self.world
        alive = {
            run.camera: run for run in old.alive.values() if run.purpose is Purpose.RECORD and run.camera not in died
        }
        self.world = replace(old, alive=alive, stopping=set(), unclosed=set(), answers=[])
        self.ids.clear()
        adopted = tuple(self.world.records[run.run_id] for run in alive.values())
        self.world.post(ev.Booted(adopted, old.saved.session))

    @invariant()
    def no_command_is_answered_twice(self) -> None:
        assert all(len(self.world.finals(command_id)) <= 1 for command_id in self.ids)

    @invariant()
    def running_cameras_have_a_process(self) -> None:
        for camera, status in self.world.agent.snapshot().cameras.items():
            has_process = status.state in (CameraState.STARTING, CameraState.RUNNING, CameraState.STOPPING)
            assert has_process == (camera in self.world.alive)

    def teardown(self) -> None:
        world = self.world
        world.broken.clear()
        world.frozen.clear()
        for camera in ("cam0", "cam1"):
            world.post(ev.LiveWanted(camera, wanted=False))
        self.ids.append(world.command(Stop(), verb=Verb.STOP))
        world.wait(40.0)
        assert world.agent.snapshot().state is DeviceState.IDLE
        assert world.alive == {}
        assert all(len(world.finals(command_id)) == 1 for command_id in self.ids)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(stateful_step_count=40)


def test_stopped_is_reachable_from_every_state() -> None:
    reached = {CameraState.STOPPED}
    while more := {before for (before, _), after in TRANSITIONS.items() if after in reached} - reached:
        reached |= more
    assert reached == set(CameraState)
