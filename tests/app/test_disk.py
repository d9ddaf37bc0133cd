from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from edge_agent.app.disk import Disk
from edge_agent.app.stalls import STALLED_AFTER_S, StallWatch
from edge_agent.core import events as ev
from edge_agent.core.model import Now
from tests.fakes.world import EPOCH

PATIENCE_S = 30.0


class HandClock:
    """A clock that a test turns."""

    mono_s = 0.0

    def now(self) -> Now:
        return Now(self.mono_s, EPOCH)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def disk(clock: HandClock) -> Iterator[Disk]:
    disk = Disk("footage", clock)
    yield disk
    disk.close()


class Hanging:
    """A call that does not return until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        self.released.wait(PATIENCE_S)
        return "done"


async def test_calls_are_made_in_order_in_one_thread(disk: Disk) -> None:
    made: list[tuple[int, str]] = []

    def call(number: int) -> None:
        made.append((number, threading.current_thread().name))

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(disk.run(call, number), name=f"call {number}")
    assert [number for number, _ in made] == list(range(5))
    assert len({name for _, name in made}) == 1
    assert made[0][1] != threading.current_thread().name


async def test_what_a_call_raises_reaches_its_caller(disk: Disk) -> None:
    with pytest.raises(ZeroDivisionError):
        await disk.run(lambda: 1 / 0)
    assert disk.stalled_s == 0


async def test_a_call_that_hangs_is_told_once_and_so_is_its_end(disk: Disk, clock: HandClock) -> None:
    told: list[ev.Event] = []
    watch, hanging = StallWatch((disk,), told.append), Hanging()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(disk.run(hanging), name="call")
        await asyncio.to_thread(hanging.entered.wait, PATIENCE_S)
        watch.look()
        assert told == []
        clock.mono_s = STALLED_AFTER_S
        watch.look()
        watch.look()
        (stalled,) = told
        assert isinstance(stalled, ev.StorageStalled)
        assert stalled.message is not None
        assert watch.stalled
        hanging.released.set()
        assert await call == "done"
        watch.look()
    assert told[1:] == [ev.StorageStalled(None)]


async def test_leaving_does_not_wait_for_a_disk_that_hangs(clock: HandClock) -> None:
    disk, hanging = Disk("footage", clock), Hanging()
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(disk.run(hanging), name="call")
        await asyncio.to_thread(hanging.entered.wait, PATIENCE_S)
        assert disk.close(patience_s=0.05) is False
        hanging.released.set()
        await call


async def test_a_disk_that_answers_is_closed_at_once(clock: HandClock) -> None:
    disk = Disk("footage", clock)
    await disk.run(lambda: None)
    assert disk.close() is True
