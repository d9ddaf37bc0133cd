"""The agent's own directory takes nothing any more: it forgets what it cannot write down, and records all the same."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import RunningAgent
from tests.fakes.mounts import Mounts
from tests.faults.machine import assert_live, await_footage, await_no_problem, await_problem, filled

pytestmark = pytest.mark.slow


@pytest.fixture
def device(make_agent: MakeAgent, mounts: Mounts) -> RunningAgent:
    agent = make_agent()
    agent.through = mounts.entrance
    agent.state_dir.mkdir(parents=True)
    mounts.mount(agent.state_dir, size="1m")
    return agent


def test_a_full_state_directory_keeps_nobody_from_recording(device: RunningAgent, mounts: Mounts) -> None:
    device.start()
    with filled(mounts.seen(device.state_dir)):
        device.do("mode", "cam0-640")
        assert "make room" in await_problem(device, "state_unsaved")
        assert "make room" in await_problem(device, "commands_unsaved")
        assert_live(device)
        device.do("start", {"mode": "dual-640", "label": "trip"})
        await_footage(device, 2)
        assert device.command("lock")["code"] in ("disk_full", "ok")
        device.do("stop")
        device.do("snapshot")
    device.do("mode", "cam1-640")
    await_no_problem(device, "state_unsaved")
    await_no_problem(device, "commands_unsaved")
    device.do("start", "cam0-640")
    device.do("stop")
    device.stop()
    device.start()
    assert device.status["selected_mode"] == "cam1-640"
    for camera in ("cam0", "cam1"):
        assert assert_gapless(device, camera)


def test_a_start_with_a_read_only_state_directory_records(device: RunningAgent, mounts: Mounts) -> None:
    device.start()
    device.do("mode", "cam0-640")
    device.stop()
    mounts.read_only(device.state_dir)
    device.start()
    assert device.status["selected_mode"] == "cam0-640"
    assert_live(device)
    device.do("start", "dual-640")
    await_footage(device, 2)
    device.do("stop")
    for camera in ("cam0", "cam1"):
        assert assert_gapless(device, camera)
