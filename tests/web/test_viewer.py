from __future__ import annotations

import asyncio
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.web.live import LiveView
from edge_agent.web.part import OPENING
from edge_agent.web.thrift import FEWEST, Thrift
from edge_agent.web.viewer import SocketViewer
from tests.fakes.viewers import PATIENCE_S, Camera, Eye, Seen, clock, tcp_pair

LARGE = 300_000
"""More than a connection takes that nobody reads: 128 KiB unsent, and what the other end's kernel has room for."""
LONG_S = 1000.0


class Gallery:
    """A view, who looks at it, and who does not."""

    def __init__(self) -> None:
        self.view = LiveView("cam0", lambda _: None, clock, LONG_S, LONG_S, Thrift(lambda: 0.0))
        self.camera = Camera(self.view, LARGE)
        self.left = asyncio.Event()
        self._ends: list[socket.socket] = []
        self._eyes: list[Eye] = []

    def join(self, gone_after_ms: int = 60_000) -> socket.socket:
        """A viewer that does nothing until the other end, which this returns, is read."""
        server, client = tcp_pair()
        self._ends.append(client)
        self.view.join(SocketViewer(server, OPENING, None, gone_after_ms), self.left.set)
        return client

    async def look(self, client: socket.socket) -> Eye:
        """Begin to read at a viewer's other end."""
        eye = Eye(*await asyncio.open_connection(sock=client))
        self._eyes.append(eye)
        eye.boundary = OPENING
        assert await eye.reader.readexactly(len(OPENING)) == OPENING
        return eye

    async def all_left(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.view.viewers:
                self.left.clear()
                await self.left.wait()

    async def close(self) -> None:
        self.view.close()
        for eye in self._eyes:
            await eye.close()
        for end in self._ends:
            end.close()


@pytest.fixture
async def gallery() -> AsyncIterator[Gallery]:
    gallery = Gallery()
    yield gallery
    await gallery.close()


def memory_files() -> int:
    links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum("memfd:frame" in str(link) for link in links)


@pytest.mark.parametrize("crowd", [0, FEWEST])
async def test_a_slow_viewer_gets_whole_frames_skips_some_and_is_told_how_many(gallery: Gallery, crowd: int) -> None:
    others = [await gallery.look(gallery.join()) for _ in range(crowd)]
    slow = gallery.join()
    for _ in range(20):
        gallery.camera.show()
        for other in others:
            await other.see()
    assert (memory_files() > 0) == (crowd > 0)
    eye = await gallery.look(slow)
    seen = [await eye.see()]
    while seen[-1].sequence < 20:
        seen.append(await eye.see())
    gallery.camera.show()
    seen.append(await eye.see())
    assert [one.jpeg for one in seen] == [gallery.camera.shown[one.sequence - 1] for one in seen]
    assert_every_gap_is_told(seen)
    assert seen[-1].sequence == 21
    assert seen[-1].dropped == gallery.view.dropped_frames == 21 - len(seen)
    assert seen[-1].dropped > 10


def assert_every_gap_is_told(seen: list[Seen]) -> None:
    assert seen[0].dropped == seen[0].sequence - 1
    for before, after in pairwise(seen):
        assert after.dropped - before.dropped == after.sequence - before.sequence - 1


@pytest.mark.parametrize("crowd", [1, FEWEST])
async def test_a_viewer_that_missed_something_keeps_up_again_and_is_told_it_still(gallery: Gallery, crowd: int) -> None:
    others = [await gallery.look(gallery.join()) for _ in range(crowd)]
    slow = gallery.join()
    for _ in range(5):
        gallery.camera.show()
    eye = await gallery.look(slow)
    while (before := await eye.see()).sequence < 5:
        pass
    assert before.dropped > 0
    for number in range(6, 12):
        shown = gallery.camera.show()
        seen = await eye.see()
        assert (seen.jpeg, seen.sequence, seen.dropped) == (shown, number, before.dropped)
    assert any(viewer.prompt and viewer.dropped == before.dropped for viewer in gallery.view.audience)
    assert len(others) == crowd


async def test_a_stuck_viewer_does_not_slow_the_others_and_costs_one_frame_at_most(gallery: Gallery) -> None:
    fast = await gallery.look(gallery.join())
    stuck = [gallery.join() for _ in range(3)]
    gallery.camera.show()
    await fast.see()
    gallery.camera.shown.clear()
    tracemalloc.start()
    for number in range(2, 40):
        gallery.camera.show()
        seen = await fast.see()
        assert (seen.sequence, seen.dropped) == (number, 0)
        gallery.camera.shown.clear()
    del seen
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The newest frame, what the test's own reader has, and a few objects.
    assert held < 3 * LARGE
    assert len(stuck) == 3


async def test_stuck_viewers_of_memory_files_hold_one_file_each_at_most(gallery: Gallery) -> None:
    ends = [gallery.join() for _ in range(FEWEST)]
    for _ in range(30):
        gallery.camera.show()
    # All were stuck in the same frame: that one's file, the newest's, and spare ones.
    assert 2 <= memory_files() <= 5
    for end in ends:
        end.close()
    await gallery.all_left()
    gallery.view.close()
    assert memory_files() == 0


async def test_a_viewer_that_leaves_is_noticed_without_a_frame(gallery: Gallery) -> None:
    gallery.join().close()
    await gallery.all_left()


async def test_a_viewer_that_breaks_off_in_the_middle_of_a_frame_is_noticed(gallery: Gallery) -> None:
    client = gallery.join()
    gallery.camera.show()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
    client.close()
    await gallery.all_left()


@pytest.mark.parametrize("crowd", [0, FEWEST])
async def test_viewers_that_have_gone_are_noticed_by_the_frame_that_cannot_be_sent(
    gallery: Gallery, crowd: int
) -> None:
    others = [await gallery.look(gallery.join()) for _ in range(crowd)]
    for client in (gallery.join(), gallery.join()):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    shown = gallery.camera.show()  # before the loop had a turn
    assert gallery.view.viewers == crowd
    for other in others:
        assert (await other.see()).jpeg == shown


async def test_a_viewer_that_reads_nothing_is_given_up_by_the_kernel(gallery: Gallery) -> None:
    gallery.join(gone_after_ms=300)
    gallery.camera.show()
    assert gallery.view.viewers == 1
    await gallery.all_left()


@pytest.mark.parametrize("crowd", [0, FEWEST])
async def test_a_viewer_may_be_found_gone_when_the_rest_of_a_frame_is_sent(gallery: Gallery, crowd: int) -> None:
    others = [await gallery.look(gallery.join()) for _ in range(crowd)]
    server, client = tcp_pair()
    viewer = SocketViewer(server, OPENING)
    gallery.view.join(viewer, lambda: None)
    gallery.camera.show()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    viewer._writable()  # the loop found it writable in the turn before it broke off
    assert gallery.view.viewers == crowd == len(others)


async def test_what_a_viewer_says_is_ignored(gallery: Gallery) -> None:
    client = gallery.join()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
    eye = await gallery.look(client)
    for _ in range(3):
        shown = gallery.camera.show()
        assert (await eye.see()).jpeg == shown


async def test_closing_in_the_middle_of_a_frame_ends_the_connection_once(gallery: Gallery) -> None:
    server, client = tcp_pair()
    viewer = SocketViewer(server, OPENING)
    ended: list[str] = []
    gallery.view.join(viewer, lambda: ended.append("ended"))
    gallery.camera.show()
    viewer.close()
    viewer.close()
    assert ended == ["ended"]
    assert server.fileno() == -1
    client.close()
