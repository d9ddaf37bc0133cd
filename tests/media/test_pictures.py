from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.media.pictures import JpegWriter, fit
from edge_agent.media.sources import picture_of
from tests.media.conftest import Footage, run_module, size_of


@given(st.integers(2, 4000), st.integers(2, 4000), st.integers(0, 4000))
def test_a_picture_keeps_its_shape_and_never_grows(width: int, height: int, limit: int) -> None:
    narrower, lower = fit(width, height, limit)
    if not 0 < limit < width:
        assert (narrower, lower) == (width, height)
        return
    assert narrower <= max(limit, 2)
    assert narrower % 2 == lower % 2 == 0
    assert abs(lower - height * limit / width) <= 2


def test_a_higher_quality_takes_more_bytes(footage: Footage) -> None:
    frame = picture_of(footage.whole)
    sizes = [len(JpegWriter(0, quality).write(frame)) for quality in (1, 30, 50, 70, 80, 90, 95)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 3 * sizes[0]


def test_one_writer_follows_pictures_of_changing_size(footage: Footage, tmp_path: Path) -> None:
    frame = picture_of(footage.whole)
    writer = JpegWriter(0, 80)
    for number, width in enumerate((320, 320, 160, 320)):
        small = tmp_path / f"{number}.jpg"
        small.write_bytes(writer.write(frame.reformat(width, width * 3 // 4)))
        assert size_of(small) == (width, width * 3 // 4)


def test_a_thumbnail_is_a_small_picture_of_the_segment(footage: Footage, tmp_path: Path) -> None:
    thumbnail = tmp_path / "thumbnail.jpg"
    done = run_module("thumbnail", footage.segments[1], thumbnail, "--width", "160")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert size_of(thumbnail) == (160, 120)
    assert list(tmp_path.iterdir()) == [thumbnail]


def test_a_thumbnail_on_stdout_is_one_whole_jpeg(footage: Footage) -> None:
    done = run_module("thumbnail", footage.segments[0], "-")
    assert done.stdout.startswith(b"\xff\xd8\xff")
    assert done.stdout.endswith(b"\xff\xd9")


def test_a_thumbnail_shows_the_key_frame_before_the_instant_asked_for(footage: Footage) -> None:
    pictures = [run_module("thumbnail", footage.whole, "-", "--at", at).stdout for at in ("0", "0.9", "0.5", "5.9")]
    assert pictures[1] == pictures[2]
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 torn"])
def test_a_file_without_a_picture_is_named_and_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    segment = tmp_path / "segment.mp4"
    segment.write_bytes(content)
    done = run_module("thumbnail", segment, tmp_path / "thumbnail.jpg")
    assert done.returncode == 1
    assert b"segment.mp4" in done.stderr
    assert list(tmp_path.iterdir()) == [segment]


def test_cameras_are_put_side_by_side_at_the_lowest_height(footage: Footage, tmp_path: Path) -> None:
    jpeg = tmp_path / "cam1.jpg"
    run_module("thumbnail", footage.whole, jpeg, "--width", "160")
    output = tmp_path / "both.jpg"
    done = run_module("compare", output, f"cam0={footage.segments[0]}", f"cam1={jpeg}", f"cam2={footage.whole}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert size_of(output) == (3 * 160, 120)


def test_a_comparison_bears_the_names_of_the_cameras(footage: Footage, tmp_path: Path) -> None:
    """Left and right are the same picture: where they differ, they differ by the names in their upper corners."""
    output = tmp_path / "both.jpg"
    run_module("compare", output, f"front={footage.whole}", f"rear={footage.whole}")
    luma = bytes(picture_of(output).planes[0])
    left = [luma[row * 640 : row * 640 + 320] for row in range(240)]
    right = [luma[row * 640 + 320 : (row + 1) * 640] for row in range(240)]
    different = [
        (row, column) for row in range(240) for column in range(320) if abs(left[row][column] - right[row][column]) > 60
    ]
    assert different
    assert max(row for row, _ in different) < 40
    assert max(column for _, column in different) < 100


def test_one_picture_alone_is_nothing_to_compare(footage: Footage) -> None:
    assert run_module("compare", "-", f"cam0={footage.whole}").returncode == 2
