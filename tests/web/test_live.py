from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from edge_agent.core.model import Now
from edge_agent.latest import Frame
from edge_agent.web.live import NO_SIGNAL, LiveView, Seats
from edge_agent.web.part import OPENING
from edge_agent.web.viewer import SocketViewer
from tests.fakes.viewers import PATIENCE_S, Camera, Eye, clock, jpeg, tcp_pair

LONG_S = 1000.0
START = clock()


def instant(seconds: float) -> Now:
    return Now(START.mono_s + seconds, START.wall + timedelta(seconds=seconds))


@dataclass
class Core:
    """What the hub asks for."""

    said: list[bool] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wanted(self, wanted: bool) -> None:
        self.said.append(wanted)
        self.changed.set()

    async def until(self, said: list[bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.said != said:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
async def view(core: Core) -> AsyncIterator[LiveView]:
    view = LiveView("cam0", core.wanted, clock, linger_s=0.05, no_signal_after_s=LONG_S)
    yield view
    view.close()


Look = Callable[..., Awaitable[Eye]]


@pytest.fixture
async def look() -> AsyncIterator[Look]:
    """Joins a view by a bare connection and gives its other end, which is closed after the test."""
    eyes: list[Eye] = []

    async def look(view: LiveView, fps: float | None = None, gone: Callable[[], None] = lambda: None) -> Eye:
        server, client = tcp_pair()
        eye = Eye(*await asyncio.open_connection(sock=client))
        eyes.append(eye)
        eye.boundary = OPENING
        view.join(SocketViewer(server, OPENING, fps), gone)
        assert await eye.reader.readexactly(len(OPENING)) == OPENING
        return eye

    yield look
    for eye in eyes:
        await eye.close()


async def left(view: LiveView, viewers: int = 0) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while view.viewers != viewers:  # noqa: ASYNC110  # a viewer says only to the hub that it has gone
            await asyncio.sleep(0)


async def test_frames_are_numbered_over_sources_and_the_newest_is_kept(view: LiveView) -> None:
    camera = Camera(view)
    first, second = camera.show(instant(0)), camera.show(instant(1))
    frame = view.latest.value
    assert frame == Frame(second, instant(1).wall, instant(1).mono_s, 2)
    assert first != second


async def test_frames_are_wanted_from_the_first_viewer_until_some_time_after_the_last(
    view: LiveView, core: Core, look: Look
) -> None:
    first, second = await look(view), await look(view)
    assert core.said == [True]
    await first.close()
    await left(view, 1)
    await second.close()
    await left(view)
    assert core.said == [True]
    await core.until([True, False])


async def test_a_viewer_that_comes_while_frames_linger_changes_nothing(core: Core, look: Look) -> None:
    view = LiveView("cam0", core.wanted, clock, linger_s=LONG_S)
    first = await look(view)
    await first.close()
    await left(view)
    await look(view)
    assert core.said == [True]
    view.close()


async def test_every_viewer_gets_every_frame_and_each_is_told_that_it_missed_none(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    eyes = [await look(view) for _ in range(3)]
    for number in range(1, 6):
        shown = camera.show()
        for eye in eyes:
            seen = await eye.see()
            assert (seen.jpeg, seen.sequence, seen.dropped) == (shown, number, 0)


async def test_a_viewer_that_comes_later_sees_the_newest_frame_at_once(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    camera.show()
    shown = camera.show()
    for _ in range(2):
        eye = await look(view)
        assert (await eye.see()).jpeg == shown


async def test_a_viewer_does_not_see_a_frame_from_long_ago(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    camera.show(instant(-2 * LONG_S))
    eye = await look(view)
    shown = camera.show()
    assert (await eye.see()).jpeg == shown


async def test_a_stand_in_is_shown_while_the_camera_is_silent_and_never_kept(core: Core, look: Look) -> None:
    view = LiveView("cam0", core.wanted, clock, no_signal_after_s=0.05)
    eye = await look(view)
    first, second = await eye.see(), await eye.see()
    assert first.jpeg == second.jpeg == NO_SIGNAL
    assert second.sequence == first.sequence + 1
    assert view.latest.value is None
    assert view.fps == 0
    late = await look(view)
    assert (await late.see()).jpeg == NO_SIGNAL
    shown = Camera(view).show()
    assert (await late.see()).jpeg == shown
    assert (await late.see()).jpeg == NO_SIGNAL
    view.close()


def test_the_stand_in_is_a_small_baseline_jpeg() -> None:
    assert NO_SIGNAL.startswith(b"\xff\xd8\xff")
    assert NO_SIGNAL.endswith(b"\xff\xd9")
    assert b"\xff\xc0" in NO_SIGNAL
    assert len(NO_SIGNAL) < 10_000


async def test_a_viewer_gets_the_rate_that_it_asks_for_and_others_all(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    third, every = await look(view, fps=10), await look(view)
    for tick in range(30):
        camera.show(instant(tick / 30 + (0.003 if tick % 2 else 0)))
    seen = [(await third.see()).sequence for _ in range(10)]
    assert seen == list(range(1, 31, 3))
    assert [(await every.see()).sequence for _ in range(30)] == list(range(1, 31))
    assert view.dropped_frames == 0


async def test_a_rate_that_does_not_divide_the_cameras_is_met_on_average(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    eye = await look(view, fps=20)
    for tick in range(61):
        camera.show(instant(tick / 30))
    seen = [(await eye.see()).sequence for _ in range(40)]
    assert 59 <= seen[-1] <= 61


async def test_the_limit_on_the_rate_holds_for_all_viewers_and_can_be_changed(view: LiveView, look: Look) -> None:
    camera = Camera(view)
    slow, fast = await look(view, fps=1), await look(view)
    view.rate_limit_fps = 15
    assert view.rate_limit_fps == 15
    for tick in range(10):
        camera.show(instant(tick / 30))
    view.rate_limit_fps = None
    assert view.rate_limit_fps is None
    for tick in range(10, 13):
        camera.show(instant(tick / 30))
    late = await look(view)
    assert [(await fast.see()).sequence for _ in range(8)] == [1, 3, 5, 7, 9, 11, 12, 13]
    assert (await late.see()).sequence == 13
    camera.show(instant(1.1))
    assert [(await slow.see()).sequence for _ in range(2)] == [1, 14]


async def test_a_fresh_frame_is_one_captured_after_the_question(view: LiveView, core: Core) -> None:
    camera = Camera(view)
    camera.show()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        asked = group.create_task(view.fresh(PATIENCE_S), name="snapshot")
        await core.until([True])
        camera.show(instant(-60))
        await asyncio.sleep(0)
        assert not asked.done()
        shown = camera.show()
    assert asked.result().jpeg == shown
    await core.until([True, False])


async def test_waiting_for_a_fresh_frame_ends_in_time(view: LiveView, core: Core) -> None:
    with pytest.raises(TimeoutError):
        await view.fresh(0.01)
    await core.until([True, False])


async def test_the_measured_rate_is_that_of_the_last_two_seconds(view: LiveView) -> None:
    assert view.fps == 0
    now = clock()
    for tick in range(120):
        view.publish(jpeg(tick), Now(now.mono_s - 1.9 + tick / 60, now.wall))
    assert view.fps == pytest.approx(60)


async def test_closing_ends_all_connections_and_those_that_still_come(view: LiveView, look: Look) -> None:
    gone: list[str] = []
    eyes = [await look(view, gone=lambda: gone.append("gone")) for _ in range(3)]
    view.close()
    eyes.append(await look(view, gone=lambda: gone.append("gone")))
    for eye in eyes:
        with pytest.raises(asyncio.IncompleteReadError):
            await eye.see()
    assert gone == ["gone"] * 4
    assert view.viewers == 0


def test_seats_are_given_until_none_is_left() -> None:
    seats = Seats(2)
    assert [seats.take() for _ in range(3)] == [True, True, False]
    seats.free()
    assert seats.take()
    assert seats.taken == 2
