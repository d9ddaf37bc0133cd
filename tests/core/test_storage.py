from __future__ import annotations

from edge_agent.core import events as ev
from edge_agent.core.commands import Start
from edge_agent.core.model import DeviceState, EventType
from tests.fakes.world import EPOCH, World


def _recording() -> World:
    world = World()
    world.command(Start(mode="dual-640"), "start")
    world.play()
    assert world.agent.snapshot().state is DeviceState.RECORDING
    return world


def _codes(world: World) -> list[str]:
    return [problem.code for problem in world.agent.snapshot().problems]


def test_silence_while_the_disk_stalls_is_not_taken_for_a_dead_camera() -> None:
    world = _recording()
    before = dict(world.alive)
    world.frozen |= {"cam0", "cam1"}
    world.wait(6)
    world.post(ev.StorageStalled("the disk does not answer"))
    assert _codes(world) == ["disk_stalled"]
    world.wait(300)
    assert (world.alive, world.stopping) == (before, set())
    assert world.agent.snapshot().state is DeviceState.RECORDING
    world.post(ev.StorageStalled(None))
    world.wait(9)
    assert (world.alive, world.stopping) == (before, set())
    assert _codes(world) == []


def test_a_camera_that_stays_silent_after_a_stall_is_restarted() -> None:
    world = _recording()
    world.frozen |= {"cam0", "cam1"}
    world.post(ev.StorageStalled("the disk does not answer"))
    world.wait(30)
    world.post(ev.StorageStalled(None))
    world.wait(12)
    assert _codes(world) == ["no_frames", "no_frames"]


def test_a_frozen_live_camera_is_noticed_although_the_disk_stalls() -> None:
    world = World()
    world.post(ev.LiveWanted("cam0", wanted=True))
    world.play()
    world.post(ev.StorageStalled("the disk does not answer"))
    world.frozen.add("cam0")
    world.wait(12)
    assert "no_frames" in _codes(world)


def test_one_problem_of_the_volume_follows_another() -> None:
    world = _recording()
    world.post(ev.StorageChanged("disk_full", "make room"))
    world.wait(1)
    assert _codes(world) == ["disk_full"]
    world.post(ev.StorageChanged("read_only", "remount it"))
    assert _codes(world) == ["read_only"]
    world.post(ev.StorageChanged(None))
    assert _codes(world) == []
    assert len(world.reported(EventType.STORAGE_FULL)) == 1


def test_a_problem_of_the_volume_that_is_told_again_keeps_its_beginning() -> None:
    world = World()
    world.post(ev.StorageChanged("disk_full", "make room"))
    world.wait(5)
    world.post(ev.StorageChanged("disk_full", "make more room"))
    (problem,) = world.agent.snapshot().problems
    assert (problem.message, problem.since) == ("make more room", EPOCH)
    assert [report.fields for report in world.reported(EventType.STORAGE_FULL)] == [{"message": "make room"}]
