"""What is told of a live run while the disk of its notes hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.app.cameras import Cameras
from edge_agent.app.disk import Disk
from edge_agent.app.showing import Showing, Stage
from edge_agent.app.strays import LiveNote
from edge_agent.config import load
from edge_agent.core import events as ev
from edge_agent.core.model import Profile, Purpose, Run
from edge_agent.host.clock import Clock
from edge_agent.rpicam.probe import Abilities
from edge_agent.rpicam.process import read_boot_id
from tests.fakes.told import Told

WAIT_S = 30
PROGRAM = (sys.executable, "-m", "edge_agent.simulated.rpicam_vid")
ABILITIES = Abilities(PROGRAM, (1, 5, 0), "1.5.0", has_libav=True, hardware_encoder=False, simulated=True)


class Theatre:
    """A live run of a simulated camera, and the disk of its notes, which hangs when told to."""

    def __init__(self, tmp_path: Path) -> None:
        variables = {"RECORDING__ROOT": tmp_path, "DEVICE__STATE_DIR": tmp_path}
        config = load(None, {f"EDGE_AGENT__{name}": str(value) for name, value in variables.items()})
        self.told = Told()
        self.answer = threading.Event()
        """The disk hangs until it is set."""
        self.disk = Disk("state", Clock())
        stage = Stage(
            config=config,
            cameras=Cameras(config, ABILITIES, {}, found=True),
            boot_id=read_boot_id(),
            state=self.disk,
            clock=Clock(),
            post=self.told.post,
            publish=lambda camera, jpeg, now: None,
        )
        self.showing = Showing(stage, Run("run1", 1, "cam0", Purpose.LIVE, Profile(320, 240, 30), "live"))


@pytest.fixture
async def theatre(tmp_path: Path) -> AsyncIterator[Theatre]:
    theatre = Theatre(tmp_path)
    yield theatre
    theatre.answer.set()
    theatre.disk.close()


@pytest.mark.parametrize("asked", [True, False])
async def test_the_end_is_told_though_the_disk_of_the_notes_hangs(
    theatre: Theatre, tmp_path: Path, asked: bool
) -> None:
    life = asyncio.create_task(theatre.showing.begin())  # noqa: TID251 - awaited below
    await theatre.told.first(ev.FirstFrame)
    program = await theatre.disk.run(LiveNote(tmp_path, "cam0").read)
    assert program is not None
    theatre.disk.submit(theatre.answer.wait, WAIT_S)
    if asked:
        theatre.showing.stop()
    else:
        os.kill(program.pid, signal.SIGKILL)
    ended = await theatre.told.first(ev.RunEnded)
    assert ended.cause is (ev.Cause.STOPPED if asked else ev.Cause.KILLED)
    assert not theatre.answer.is_set()
    assert not life.done()
    theatre.answer.set()
    await asyncio.wait_for(life, WAIT_S)
    assert await theatre.disk.run(LiveNote(tmp_path, "cam0").read) is None
