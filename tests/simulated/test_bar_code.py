from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulated import bar_code

numbers = st.integers(0, bar_code.MAXIMUM)
sizes = st.tuples(st.integers(80, 1920), st.integers(60, 1080))


def plane(number: int, width: int, height: int, stride: int) -> bytes:
    line = bar_code.row(number, width) + bytes(stride - width)
    rows = bar_code.height(height)
    return line * rows + bytes([100]) * (stride * (height - rows))


@given(numbers, sizes, st.integers(0, 64))
def test_every_number_is_read_back_at_every_size_and_stride(number: int, size: tuple[int, int], padding: int) -> None:
    width, height = size
    luma = plane(number, width, height, width + padding)
    assert bar_code.read_frame_number(luma, width, height, width + padding) == number


@given(numbers, st.booleans(), st.booleans())
def test_a_mirrored_or_turned_picture_gives_the_same_number(number: int, hflip: bool, vflip: bool) -> None:
    width, height = 160, 120
    luma = plane(number, width, height, width)
    lines = [luma[at : at + width] for at in range(0, len(luma), width)]
    if hflip:
        lines = [line[::-1] for line in lines]
    if vflip:
        lines.reverse()
    assert bar_code.read_frame_number(b"".join(lines), width, height) == number


@given(numbers, st.integers(0, 29))
def test_one_block_read_wrongly_is_noticed(number: int, block: int) -> None:
    width = bar_code.CELLS * 4
    line = bytearray(bar_code.row(number, width))
    start = (3 + 2 + block) * 4
    line[start : start + 4] = bytes(251 - value for value in line[start : start + 4])
    assert bar_code.read_frame_number(bytes(line) * 8, width, 8) is None


def test_more_frames_than_the_code_can_count_start_over() -> None:
    luma = plane(bar_code.MAXIMUM + 6, 640, 480, 640)
    assert bar_code.read_frame_number(luma, 640, 480) == 5


@pytest.mark.parametrize("luma", [bytes([128]) * 640 * 480, b"", bytes(640 * 10)])
def test_a_picture_without_a_bar_code_has_no_number(luma: bytes) -> None:
    assert bar_code.read_frame_number(luma, 640, 480) is None
