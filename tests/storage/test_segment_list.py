from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.storage.segment_list import SegmentList


def read(path: Path) -> dict[int, tuple[float, float]]:
    segments = SegmentList(path)
    segments.read_on()
    return segments.spans


def test_each_line_gives_a_closed_segment_and_its_span(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text("000000.mp4,0.000000,59.999400\n000001.mp4,59.999400,119.998800\n")
    assert read(path) == {0: (0.0, 59.9994), 1: (59.9994, 119.9988)}


def test_a_line_that_is_being_written_does_not_count_yet(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text("000000.mp4,0.0,2.0\n000001.mp4,2.0,4")
    segments = SegmentList(path)
    segments.read_on()
    assert set(segments.spans) == {0}
    with path.open("a") as file:
        file.write(".5\n")
    segments.read_on()
    assert segments.spans[1] == (2.0, 4.5)


def test_foreign_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text(
        "other.mp4,0,1\n000001.mp4,x,2\n000002.mp4,nan,2\n\n/spool/run/000003.mp4,1,2\nffconcat version 1.0\n"
    )
    assert read(path) == {3: (1.0, 2.0)}


def test_a_missing_list_is_an_empty_one(tmp_path: Path) -> None:
    assert read(tmp_path / "segments.csv") == {}


def test_a_fifo_in_its_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "segments.csv")
    assert read(tmp_path / "segments.csv") == {}


@given(st.binary(), st.integers(0, 200))
def test_any_bytes_in_any_pieces_are_read_without_an_error(content: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.csv"
        segments = SegmentList(path)
        for size in (cut, len(content)):
            path.write_bytes(content[:size])
            segments.read_on()
        assert segments.spans == read(path)
