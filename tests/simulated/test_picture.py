from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.simulated.picture import Plane, TestPicture, read_frame_number


def blank(width: int, height: int, padding: int) -> list[Plane]:
    sizes = ((width, height), (width // 2, height // 2), (width // 2, height // 2))
    return [Plane(memoryview(bytearray((w + padding) * h)), w + padding) for w, h in sizes]


def visible(planes: list[Plane], width: int, *, hflip: bool = False, vflip: bool = False) -> list[list[bytes]]:
    result = []
    for index, plane in enumerate(planes):
        length = width // 2 if index else width
        lines = [bytes(plane.memory[at : at + length]) for at in range(0, len(plane.memory), plane.stride)]
        lines = [line[::-1] for line in lines] if hflip else lines
        result.append(lines[::-1] if vflip else lines)
    return result


def painted(
    numbers: list[int], width: int, height: int, padding: int = 0, *, hflip: bool = False, vflip: bool = False
) -> list[Plane]:
    planes = blank(width, height, padding)
    picture = TestPicture(planes, width, height, 0, hflip=hflip, vflip=vflip)
    for number in numbers:
        picture.paint(number, 1_795_000_000.5)
    return planes


even = st.integers(16, 200).map(lambda half: half * 2)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4), even, even, st.integers(0, 40))
def test_what_was_painted_before_leaves_no_trace(numbers: list[int], width: int, height: int, padding: int) -> None:
    assert visible(painted(numbers, width, height, padding), width) == visible(
        painted(numbers[-1:], width, height), width
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_flips_mirror_the_whole_picture(numbers: list[int], hflip: bool, vflip: bool) -> None:
    flipped = painted(numbers, 320, 240, hflip=hflip, vflip=vflip)
    assert visible(flipped, 320, hflip=hflip, vflip=vflip) == visible(painted(numbers, 320, 240), 320)


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (640, 480), (1280, 720), (1920, 1080)])
def test_the_frame_number_is_in_the_picture(size: tuple[int, int]) -> None:
    planes = painted([1, 2, 40_001], *size)
    assert read_frame_number(planes[0].memory, *size) == 40_001


def test_two_frames_and_two_cameras_differ() -> None:
    first, second = painted([1], 320, 240), painted([2], 320, 240)
    assert visible(first, 320) != visible(second, 320)
    planes = blank(320, 240, 0)
    TestPicture(planes, 320, 240, 1, hflip=False, vflip=False).paint(1, 1_795_000_000.5)
    assert visible(planes, 320)[1] != visible(first, 320)[1]
