from __future__ import annotations

import av
import pytest

from edge_agent.core.model import is_name
from edge_agent.media.lettering import label


def blank(width: int, height: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    return frame


def luma(frame: av.VideoFrame) -> bytes:
    return bytes(frame.planes[0])


@pytest.mark.parametrize("letter", "abcdefghijklmnopqrstuvwxyz0123456789_-")
def test_every_letter_of_a_name_has_a_shape_of_its_own(letter: str) -> None:
    assert is_name(f"a{letter}")
    frame = blank(16, 16)
    label(frame, letter)
    assert 235 in luma(frame)
    for other in set("abcdefghijklmnopqrstuvwxyz0123456789_-") - {letter}:
        second = blank(16, 16)
        label(second, other)
        assert luma(second) != luma(frame)


@pytest.mark.parametrize(("width", "height"), [(2, 2), (8, 200), (1000, 8), (641, 481)])
def test_a_name_that_does_not_fit_is_cut_off(width: int, height: int) -> None:
    frame = blank(width, height)
    label(frame, "a-camera-with-a-very-long-name-32")
    assert len(luma(frame)) >= width * height
