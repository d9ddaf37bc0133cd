from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

from edge_agent.latest import Frame, Latest

PATIENCE_S = 20


async def settle() -> None:
    """Let every task of the loop run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_new_cell_holds_nothing() -> None:
    cell = Latest[int]()
    assert cell.value is None
    assert cell.count == 0


def test_the_newest_value_replaces_the_one_before() -> None:
    cell = Latest[int]()
    cell.put(1)
    cell.put(2)
    assert cell.value == 2
    assert cell.count == 2


def test_a_subscriber_gets_every_value_until_it_unsubscribes() -> None:
    cell = Latest[int]()
    seen: list[int] = []
    cell.put(1)
    unsubscribe = cell.subscribe(seen.append)
    cell.put(2)
    cell.put(3)
    unsubscribe()
    unsubscribe()
    cell.put(4)
    assert seen == [2, 3]


def test_one_function_may_subscribe_twice() -> None:
    cell = Latest[int]()
    seen: list[int] = []
    first = cell.subscribe(seen.append)
    cell.subscribe(seen.append)
    first()
    cell.put(1)
    assert seen == [1]


def test_a_subscriber_may_unsubscribe_while_it_is_called() -> None:
    cell = Latest[int]()
    seen: list[int] = []

    def once(value: int) -> None:
        seen.append(value)
        unsubscribe()

    unsubscribe = cell.subscribe(once)
    cell.put(1)
    cell.put(2)
    assert seen == [1]


def test_an_error_of_a_subscriber_comes_out_after_the_value_was_replaced() -> None:
    cell = Latest[int]()
    cell.subscribe(lambda value: [][value])
    with pytest.raises(IndexError):
        cell.put(7)
    assert cell.value == 7


async def test_waiting_for_a_newer_value_returns_at_once_when_there_is_one() -> None:
    cell = Latest[str]()
    cell.put("a")
    assert await cell.newer(0) == "a"


async def test_all_who_wait_are_woken_by_one_put() -> None:
    cell = Latest[int]()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        waiting = [group.create_task(cell.newer(0), name=f"reader-{i}") for i in range(3)]
        await settle()
        cell.put(5)
    assert [task.result() for task in waiting] == [5, 5, 5]


async def test_a_reader_that_gives_up_does_not_wake_the_others() -> None:
    cell = Latest[int]()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        impatient = group.create_task(cell.newer(0), name="impatient")
        patient = group.create_task(cell.newer(0), name="patient")
        await settle()
        impatient.cancel()
        await settle()
        assert impatient.cancelled()
        assert not patient.done()
        cell.put(1)
    assert patient.result() == 1


async def test_a_late_reader_misses_what_came_in_between() -> None:
    cell = Latest[int]()
    seen: list[int] = []

    async def read(values: AsyncIterator[int]) -> None:
        async for value in values:
            seen.append(value)
            if value == 9:
                return

    cell.put(1)
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        group.create_task(read(aiter(cell)), name="reader")
        await settle()
        for value in range(2, 6):
            cell.put(value)
        await settle()
        cell.put(9)
    assert seen == [1, 5, 9]


def test_a_frame_cannot_be_changed_and_does_not_print_its_picture() -> None:
    frame = Frame(b"\xff\xd8\xff\xd9", datetime(2026, 11, 23, tzinfo=UTC), 12.5, 3)
    with pytest.raises(FrozenInstanceError):
        frame.sequence = 4  # type: ignore[misc]  # what is tested
    assert "jpeg" not in repr(frame)
