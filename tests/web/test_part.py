from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.latest import Frame
from edge_agent.web.part import BOUNDARY, CLOSING, CONTENT_TYPE, OPENING, MemoryFiles, Part, timestamp

AT = datetime(2026, 11, 23, 9, 15, 0, 123_999, tzinfo=UTC)
JPEG = b"\xff\xd8 picture \xff\xd9"
FRAME = Frame(JPEG, AT, 1.0, 7)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_timestamp_is_what_isoformat_says(at: datetime) -> None:
    assert timestamp(at).decode() == at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_part_is_header_picture_and_the_boundary_behind_it() -> None:
    part = Part(FRAME)
    assert part.header(0) == (
        b"Content-Type: image/jpeg\r\nContent-Length: 13\r\nX-Timestamp: 2026-11-23T09:15:00.123Z\r\n"
        b"X-Sequence: 7\r\nX-Dropped: 0\r\n\r\n"
    )
    assert b"\r\nX-Dropped: 120\r\n\r\n" in part.header(120)
    assert part.header(120).startswith(part.header(0)[:-5])
    assert f"\r\n--{BOUNDARY}\r\n".encode() == CLOSING == b"\r\n" + OPENING
    assert f"multipart/x-mixed-replace; boundary={BOUNDARY}" == CONTENT_TYPE
    assert part.body_bytes == len(JPEG + CLOSING)
    assert part.whole == part.header(0) + JPEG + CLOSING
    assert part.whole is part.whole


@given(st.integers(0, 200), st.integers(0, 300))
def test_the_rest_of_a_part_is_what_was_not_sent(dropped: int, sent: int) -> None:
    part = Part(FRAME)
    header = part.header(dropped)
    assert b"".join(part.rest(header, sent)) == (header + JPEG + CLOSING)[sent:]


def test_a_memory_file_holds_the_whole_part_and_is_used_again_when_nobody_needs_it() -> None:
    files = MemoryFiles()
    first = Part(FRAME, files)
    whole = first.usual_header + JPEG + CLOSING
    assert os.pread(first.file, 10_000, 0) == whole
    number = first.file
    first.hold()
    first.release()
    second = Part(FRAME, files)
    assert second.file != number
    first.release()
    third = Part(FRAME, files)
    assert third.file == number
    assert os.pread(number, 10_000, 0) == whole
    for part in (second, third):
        part.release()
    files.close()


@pytest.mark.parametrize("from_file", [False, True])
def test_a_part_that_is_no_longer_the_newest_keeps_its_picture_only_where_it_has_no_file(from_file: bool) -> None:
    files = MemoryFiles()
    part = Part(FRAME, files if from_file else None).hold()
    part.retire()
    assert part.jpeg == (b"" if from_file else JPEG)
    assert (part.file >= 0) == from_file
    part.release()
    files.close()


def test_bytes_on_their_way_are_not_changed_by_the_next_frame_in_the_same_file() -> None:
    """A pipe holds the file's pages as a socket does."""
    files = MemoryFiles()
    reading, writing = os.pipe()
    first = Part(Frame(b"a" * 5000, AT, 1.0, 1), files)
    number, size = first.file, len(first.usual_header) + first.body_bytes
    assert os.splice(number, writing, size, offset_src=0) == size
    first.release()
    second = Part(Frame(b"b" * 5000, AT, 1.0, 2), files)
    assert second.file == number
    assert os.read(reading, size).count(b"a") > 4990
    second.release()
    files.close()
    os.close(reading)
    os.close(writing)


def test_only_a_few_files_are_kept_and_none_after_closing() -> None:
    before = open_descriptors()
    files = MemoryFiles()
    parts = [Part(FRAME, files) for _ in range(20)]
    assert open_descriptors() == before + 20
    for part in parts:
        part.release()
    assert open_descriptors() <= before + 4
    files.close()
    assert open_descriptors() == before


def test_without_room_for_another_file_the_part_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    part = Part(FRAME, MemoryFiles())
    assert part.file == -1
    part.release()
