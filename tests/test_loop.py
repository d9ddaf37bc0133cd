"""The event loop that attends to some descriptors itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from edge_agent.loop import Loop, attend

LOOPS = pytest.mark.parametrize("make", [Loop, asyncio.SelectorEventLoop])


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def run(make: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(asyncio.wait_for(work, 20))


@LOOPS
def test_a_descriptor_attended_to_is_read_whenever_it_has_something_until_forgotten(
    make: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int]
) -> None:
    async def work() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        forget = attend(pipe[0], lambda: heard.put_nowait(os.read(pipe[0], 100)))
        for word in (b"one", b"two"):
            os.write(pipe[1], word)
            assert await heard.get() == word
        forget()
        forget()
        os.write(pipe[1], b"three")
        await a_round()
        assert heard.empty()
        assert os.read(pipe[0], 100) == b"three"

    run(make, work())


@LOOPS
def test_what_is_not_read_at_once_is_told_again(
    make: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int]
) -> None:
    async def work() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        forget = attend(pipe[0], lambda: heard.put_nowait(os.read(pipe[0], 1)))
        os.write(pipe[1], b"abc")
        assert [await heard.get() for _ in range(3)] == [b"a", b"b", b"c"]
        forget()

    run(make, work())


@LOOPS
def test_timers_other_descriptors_and_threads_have_their_turn_beside_a_busy_pipe(
    make: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int]
) -> None:
    """The pipe is never read, so it is ready in every round."""

    async def work() -> None:
        calls = 0

        def count() -> None:
            nonlocal calls
            calls += 1

        forget = attend(pipe[0], count)
        os.write(pipe[1], b"x")
        assert await asyncio.to_thread(lambda: "done") == "done"
        timer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.001, timer.set_result, None)
        await timer
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
        forget()
        assert calls > 3

    run(make, work())


@LOOPS
@pytest.mark.parametrize("error", [ValueError("no picture"), asyncio.CancelledError()])
def test_an_error_in_one_callback_is_told_and_the_loop_goes_on(
    make: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int], error: BaseException
) -> None:
    async def work() -> None:
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.put_nowait(context))

        def fail() -> None:
            os.read(pipe[0], 100)
            raise error

        forget = attend(pipe[0], fail)
        for _ in range(2):
            os.write(pipe[1], b"x")
            context = await told.get()
            assert context["exception"] is error
            assert "fail" in context["message"]
        forget()

    run(make, work())


@LOOPS
def test_a_callback_may_forget_another_that_was_due_in_the_same_round(
    make: Callable[[], asyncio.AbstractEventLoop], pipe: tuple[int, int]
) -> None:
    async def work() -> None:
        second = os.dup(pipe[0])
        ends: dict[int, Callable[[], None]] = {}
        called: list[int] = []

        def forget_both(fd: int) -> Callable[[], None]:
            def readable() -> None:
                called.append(fd)
                for end in ends.values():
                    end()

            return readable

        os.write(pipe[1], b"x")
        for fd in (pipe[0], second):
            ends[fd] = attend(fd, forget_both(fd))
        await a_round()
        assert len(called) == 1
        os.close(second)

    run(make, work())


async def a_round() -> None:
    """Let the loop look at its descriptors at least twice."""
    for _ in range(4):
        await asyncio.sleep(0)
