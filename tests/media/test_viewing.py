from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from dataclasses import replace

import av
import pytest

from edge_agent.media.orders import JpegOrder
from edge_agent.media.outlet import Outlet
from edge_agent.media.sources import open_video, units_of
from edge_agent.media.unit import Unit
from edge_agent.media.viewing import JpegView
from tests.media.conftest import FPS, GOP, Footage


@pytest.fixture
def stream(footage: Footage) -> Iterator[tuple[av.VideoStream, list[Unit]]]:
    container, video = open_video(footage.whole)
    with container:
        yield video, list(units_of(container, video))


class Pipe:
    """An outlet and its reader."""

    def __init__(self, ends: tuple[int, int]) -> None:
        self.outlet = Outlet(ends[1], selectors.DefaultSelector(), 0)
        self._reader = ends[0]
        os.set_blocking(self._reader, False)

    def jpegs(self) -> int:
        """How many JPEGs wait; they are taken."""
        try:
            data = os.read(self._reader, 1 << 20)
        except BlockingIOError:
            return 0
        assert data.startswith(b"\xff\xd8\xff")
        assert data.endswith(b"\xff\xd9")
        return data.count(b"\xff\xd8\xff")


@pytest.mark.parametrize(("fps", "expected"), [(30, 60), (15, 30), (10, 20), (7, 14), (1, 2), (100, 60)])
def test_the_rate_is_what_was_ordered_or_what_there_is(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int], fps: float, expected: int
) -> None:
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(fps, 64, 30), reader.outlet)
    for unit in units[: 2 * FPS]:
        view.write(unit, None)
    assert abs(reader.jpegs() - expected) <= 1


def test_key_frames_alone_are_decoded_where_they_do(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int]
) -> None:
    """The pictures between are rubbish here: whoever decoded them would see it."""
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(2, 64, 30), reader.outlet)
    for unit in units[: 2 * FPS]:
        view.write(unit if unit.key else replace(unit, data=b"rubbish"), GOP / FPS)
    assert reader.jpegs() == 2 * FPS // GOP


def test_a_new_viewer_sees_the_newest_picture_at_once(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int]
) -> None:
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(10, 64, 30), reader.outlet)
    view.catch_up(units[: GOP - 2])
    assert reader.jpegs() == 1


def test_nothing_is_shown_before_the_first_key_frame(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int]
) -> None:
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(30, 64, 30), reader.outlet)
    for unit in units[3:GOP]:
        view.write(unit, None)
    assert reader.jpegs() == 0
    view.write(units[GOP], None)
    assert reader.jpegs() == 1


def test_pictures_go_on_after_lost_data_and_a_jump_of_the_clock(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int]
) -> None:
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(30, 64, 30), reader.outlet)
    for unit in [*units[:5], replace(units[5], data=b"lost"), *units[GOP : GOP + 5]]:
        view.write(unit, None)
    assert reader.jpegs() >= 9
    for jump in (-1000, 1000):
        ticks = round(jump / units[0].time_base)
        for unit in units[:GOP]:
            view.write(replace(unit, pts=unit.pts + ticks, dts=unit.dts + ticks), None)
        assert reader.jpegs() == GOP


def test_a_reader_that_does_not_read_gets_whole_pictures_only(
    stream: tuple[av.VideoStream, list[Unit]], pipe: tuple[int, int]
) -> None:
    template, units = stream
    reader = Pipe(pipe)
    view = JpegView(template, JpegOrder(30, 0, 100), reader.outlet)
    for unit in units:
        view.write(unit, None)
    assert not reader.outlet.free
    data = os.read(pipe[0], 1 << 20)
    assert data.count(b"\xff\xd8\xff") < len(units)
