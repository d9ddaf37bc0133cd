"""Everything is killed while footage of a death is being recovered, in the middle of one step of it after the other."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.footage import assert_gapless, metadata, probe
from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mounts import Mounts
from tests.faults.machine import FaultyDisk, await_footage

pytestmark = pytest.mark.slow

CAMERAS = ("cam0", "cam1")
STEPS = ("sync .mp4", "change /cam0", "sync /cam0", "change -000001-cam0", "change /cam1")
"""The description is synced, the dated name made, its folder synced, the old name dropped; and the other camera."""


def _has_footage(agent: RunningAgent, camera: str) -> bool:
    """Whether the camera's open segment holds a whole fragment: its file is empty until then."""
    return agent.bytes_of(f"spool/2*-{camera}/*.mp4") > 0


def _kill_at(disk: FaultyDisk, agent: RunningAgent, step: str) -> None:
    """Kill everything at this step: the call under way is the last one that each process makes."""
    disk.fail({step: "hang"})
    agent.spawn()
    disk.await_held()
    for pid in agent.processes():
        os.kill(pid, signal.SIGKILL)
    disk.fail({})
    agent.kill_everything()


def test_deaths_at_every_step_of_a_recovery_lose_nothing_more(
    device: RunningAgent, mounts: Mounts, folder: Path
) -> None:
    with FaultyDisk(mounts, folder) as disk:
        device.root = disk.backing
        device.set(recording__segment_s=5, recording__min_free_bytes=0)
        device.start()
        device.do("start", {"mode": "dual-640", "label": "twice"})
        await_footage(device, 1)
        eventually(lambda: all(_has_footage(device, camera) for camera in CAMERAS), "footage in both open segments")
        device.kill_everything()
        left = {camera: len(device.stored(camera)) for camera in CAMERAS}
        device.inject({"*": {"fault": "busy"}})  # the next recorders shall not add to what is looked at
        for step in STEPS:
            _kill_at(disk, device, step)
        device.start()
        eventually(lambda: not device.found("spool/2*/*.mp4"), "recovery")
        device.do("stop")
        for camera in CAMERAS:
            assert len(assert_gapless(device, camera)) == 1
            assert len(device.stored(camera)) > left[camera]
            assert {metadata(path).label for path in device.stored(camera)} == {"twice"}
            for path in device.stored(camera):
                probe(path)
