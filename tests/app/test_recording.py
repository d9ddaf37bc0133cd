"""What is told of a recording run whose recorder ends while its footage is being stored."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.app.cameras import Cameras
from edge_agent.app.recording import Recording, Studio
from edge_agent.app.stores import Stores
from edge_agent.config import Config, load
from edge_agent.core import events as ev
from edge_agent.host.clock import Clock
from edge_agent.rpicam.probe import Abilities
from edge_agent.rpicam.process import CameraProcess, read_boot_id, spawn
from tests.fakes.told import Told
from tests.storage.footage import run_record, spool_segment

WAIT_S = 30
SLEEP = shutil.which("sleep") or "sleep"
NOTHING = Abilities((SLEEP,), (0, 0, 0), "none", has_libav=True, hardware_encoder=False, simulated=False)


class Desk:
    """A recording of a program that writes nothing by itself, and the disk under it, which waits when told to."""

    def __init__(self, config: Config) -> None:
        self.stores = Stores(config, Clock())
        self.told = Told()
        self.answer = threading.Event()
        """The disk waits for it before it stores a segment."""
        self.waits = asyncio.Event()
        self.studio = Studio(
            config=config,
            cameras=Cameras(config, NOTHING, {}, found=True),
            tap_ports={},
            boot_id=read_boot_id(),
            stores=self.stores,
            clock=Clock(),
            clock_synchronized=self._asked_before_storing,
            post=self.told.post,
            on_storage_error=lambda error: None,
            on_stored=lambda: None,
        )

    def _asked_before_storing(self) -> bool:
        self.stores.footage.submit(self.answer.wait, WAIT_S)
        self.waits.set()
        return True

    def spawn(self, tmp_path: Path) -> CameraProcess:
        argv = [SLEEP, "600"]
        return spawn(argv, env={}, stdout=None, stderr_path=tmp_path / "stderr", boot_id=self.studio.boot_id)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    root = tmp_path / "root"
    root.mkdir()
    desk = Desk(
        load(None, {"EDGE_AGENT__RECORDING__ROOT": str(root), "EDGE_AGENT__DEVICE__STATE_DIR": str(tmp_path / "state")})
    )
    await desk.stores.first_look()
    yield desk
    desk.answer.set()
    desk.stores.close()


async def test_a_segment_that_is_being_stored_when_its_recorder_ends_is_told(desk: Desk, tmp_path: Path) -> None:
    record = run_record()
    spooled = desk.stores.spool.create(record)
    spool_segment(spooled, 0)
    spool_segment(spooled, 1)
    recording = Recording(desk.studio, record)
    life = asyncio.create_task(recording.resume(spooled, desk.spawn(tmp_path)))  # noqa: TID251 - awaited below
    async with asyncio.timeout(WAIT_S):
        await desk.waits.wait()
    recording.stop()
    await desk.told.first(ev.RunEnded)
    assert not any(isinstance(one, ev.SegmentStored) for one in desk.told.events)
    desk.answer.set()
    async with asyncio.timeout(WAIT_S):
        await life
    stored = [one.segment.index for one in desk.told.events if isinstance(one, ev.SegmentStored)]
    assert stored == [0, 1]
    assert isinstance(desk.told.events[-1], ev.RunClosed)
