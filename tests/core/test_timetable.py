from __future__ import annotations

from datetime import timedelta

import pytest

from edge_agent.core.commands import Start
from edge_agent.core.model import DeviceState
from tests.fakes.world import EPOCH, World


@pytest.fixture
def world() -> World:
    """A sample of ten seconds, one camera of which delivers from the start while the other does not."""
    world = World()
    world.frozen.add("cam1")
    world.command(Start(mode="quick"), "a")
    world.play()
    return world


def test_a_step_waits_for_its_other_camera_and_then_lasts_its_whole_length(world: World) -> None:
    world.wait(12)
    world.frozen.clear()
    world.wait(1)
    status = world.agent.snapshot()
    assert (status.state, status.ends_at) == (DeviceState.RECORDING, EPOCH + timedelta(seconds=13 + 10))


def test_a_step_waits_fifteen_seconds_at_the_most(world: World) -> None:
    world.wait(14)
    assert world.agent.snapshot().state is DeviceState.RECORDING
    world.wait(1)
    assert world.agent.snapshot().ends_at == EPOCH + timedelta(seconds=15 + 10)
