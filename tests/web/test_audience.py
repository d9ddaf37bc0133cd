from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator

import pytest

from edge_agent.latest import Frame
from edge_agent.web.audience import Audience
from edge_agent.web.part import CLOSING, OPENING, MemoryFiles, Part
from edge_agent.web.viewer import SocketViewer, Viewer
from tests.fakes.viewers import clock, jpeg, tcp_pair


class Hall:
    """The least of a hub: an audience, and the other ends of its viewers."""

    def __init__(self) -> None:
        self.audience = Audience()
        self.files = MemoryFiles()
        self.newest: Part | None = None
        self.viewers: list[SocketViewer] = []
        self.ends: list[socket.socket] = []

    def leave(self, viewer: Viewer) -> None:
        self.audience.discard(viewer)

    def enter(self, fps: float | None = None, missed: int = 0) -> SocketViewer:
        return self.seat(*tcp_pair(), fps, missed)

    def seat(
        self, server: socket.socket, client: socket.socket, fps: float | None = None, missed: int = 0
    ) -> SocketViewer:
        client.settimeout(20)
        viewer = SocketViewer(server, OPENING, fps)
        viewer.dropped = missed
        self.viewers.append(viewer)
        self.ends.append(client)
        viewer.begin(self, 0)
        assert client.recv(100) == OPENING
        return viewer

    def offer(self, number: int, *, from_file: bool) -> bytes:
        """Offer a new frame; returns what a viewer that missed nothing gets of it."""
        now = clock()
        part = Part(Frame(jpeg(number), now.wall, now.mono_s, number), self.files if from_file else None)
        self.audience.offer(part, float(number))
        whole = part.usual_header + part.jpeg + CLOSING
        part.retire()
        return whole

    def got(self, index: int, size: int) -> bytes:
        """The next bytes that a viewer got."""
        return self.ends[index].recv(size, socket.MSG_WAITALL)


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    hall = Hall()
    yield hall
    for viewer in hall.viewers:
        viewer.close()
    for end in hall.ends:
        end.close()
    hall.files.close()


@pytest.mark.parametrize("from_file", [False, True])
async def test_a_frame_reaches_all_whatever_they_are(hall: Hall, from_file: bool) -> None:
    hall.enter()
    hall.enter(fps=30)
    assert [viewer.prompt for viewer in hall.viewers] == [True, False]
    assert len(hall.audience) == 2
    assert set(hall.audience) == set(hall.viewers)
    for number in (1, 2):
        sent = hall.offer(number, from_file=from_file)
        assert [hall.got(index, len(sent)) for index in (0, 1)] == [sent, sent]


@pytest.mark.parametrize("from_file", [False, True])
async def test_who_missed_frames_is_as_prompt_as_the_others_and_told_how_many(hall: Hall, from_file: bool) -> None:
    missed = [0, 2, *[11] * 9]
    for number in missed:
        hall.enter(missed=number)
    assert all(viewer.prompt for viewer in hall.viewers)
    assert (len(hall.audience), set(hall.audience)) == (len(missed), set(hall.viewers))
    for number in (1, 2):
        usual = hall.offer(number, from_file=from_file)
        for index, count in enumerate(missed):
            sent = usual.replace(b"X-Dropped: 0\r\n", b"X-Dropped: %d\r\n" % count)
            assert hall.got(index, len(sent)) == sent
    for viewer in hall.viewers:
        viewer.close()
    assert len(hall.audience) == 0


async def test_a_limit_makes_a_viewer_one_that_is_asked_and_back(hall: Hall) -> None:
    viewer = hall.enter()
    viewer.limit(2.0)
    assert not viewer.prompt
    first = hall.offer(1, from_file=True)
    hall.offer(2, from_file=True)
    viewer.limit(0)
    assert viewer.prompt
    third = hall.offer(3, from_file=True)
    assert hall.got(0, len(first + third)) == first + third
    assert list(hall.audience) == [viewer]


async def test_who_has_left_gets_nothing_and_a_stranger_may_be_forgotten(hall: Hall) -> None:
    hall.enter()
    gone = hall.enter()
    gone.close()
    hall.audience.discard(gone)
    sent = hall.offer(1, from_file=True)
    assert hall.got(0, len(sent)) == sent
    assert hall.got(1, 1) == b""
    assert len(hall.audience) == 1


async def test_a_descriptor_used_again_is_not_taken_for_who_had_it_before(hall: Hall) -> None:
    before = hall.enter()
    server, client = tcp_pair()
    before.close()
    os.dup2(server.fileno(), before.descriptor)
    server.close()
    after = hall.seat(socket.socket(fileno=before.descriptor), client)
    assert after.descriptor == before.descriptor
    hall.audience.discard(before)
    assert list(hall.audience) == [after]
