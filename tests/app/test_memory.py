from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from edge_agent.app.disk import Disk
from edge_agent.app.memory import Memory, decode
from edge_agent.core.effects import SavedState
from edge_agent.core.events import Event, ProblemChanged
from edge_agent.host.clock import Clock
from edge_agent.storage.state import StateFile


class _Leaving(Exception):
    """Ends the TaskGroup as an agent that leaves does."""


@pytest.fixture
def disk() -> Disk:
    return Disk("state", Clock())


async def _save_and_leave(file: StateFile, disk: Disk) -> None:
    async with asyncio.TaskGroup() as tasks:
        memory = Memory(file, disk, "boot", tasks)
        memory.save(SavedState("cam0-640", 0.0, 1, None))
        memory.save(SavedState("cam1-640", 90.0, 1, None))
        raise _Leaving


async def test_what_was_to_be_saved_when_the_agent_left_is_saved(disk: Disk, tmp_path: Path) -> None:
    slow = threading.Event()
    disk.submit(slow.wait)
    with pytest.raises(ExceptionGroup):
        await _save_and_leave(StateFile(tmp_path / "state.json"), disk)
    slow.set()
    assert disk.close()
    saved, damage = StateFile(tmp_path / "state.json").load()
    assert damage is None
    assert saved is not None
    state, _ = decode(saved)
    assert (state.selected_mode, state.selected_duration_s) == ("cam1-640", 90.0)
    assert not (tmp_path / "state.json.previous").exists(), "only the newest was written"


async def test_a_call_that_nobody_waits_for_any_more_is_made_all_the_same(disk: Disk) -> None:
    slow, made = threading.Event(), threading.Event()
    disk.submit(slow.wait)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(disk.run(made.set), name="waiting")
        await asyncio.sleep(0)
        waiting.cancel()
    slow.set()
    assert disk.close()
    assert made.is_set()


async def test_a_state_that_cannot_be_saved_is_tried_again_until_it_is(disk: Disk, tmp_path: Path) -> None:
    told: list[Event] = []

    def hear(event: Event) -> None:
        told.append(event)
        if len(told) == 2:
            (tmp_path / "file").unlink()

    (tmp_path / "file").touch()
    file = StateFile(tmp_path / "file" / "state.json")
    async with asyncio.TaskGroup() as tasks:
        Memory(file, disk, "boot", tasks, hear, retry_s=0.01).save(SavedState("cam0-640", 0.0, 1, None))
    assert disk.close()
    saved, _ = file.load()
    assert saved is not None
    assert decode(saved)[0].selected_mode == "cam0-640"
    problems = [event.message is not None for event in told if isinstance(event, ProblemChanged)]
    assert (problems[:2], problems[-1]) == ([True, True], False)


async def test_a_state_that_is_not_the_newest_any_more_is_not_tried_again(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = StateFile(tmp_path / "file" / "state.json")
    async with asyncio.TaskGroup() as tasks:
        memory = Memory(file, disk, "boot", tasks, retry_s=0.01)
        memory.save(SavedState("cam0-640", 0.0, 1, None))
        await disk.run(lambda: None)
        (tmp_path / "file").unlink()
        memory.save(SavedState("cam1-640", 0.0, 1, None))
    saved, _ = file.load()
    assert saved is not None
    assert decode(saved)[0].selected_mode == "cam1-640"
    assert disk.close()
    assert not (tmp_path / "file" / "state.json.previous").exists()
