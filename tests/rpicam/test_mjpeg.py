from __future__ import annotations

import random
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.rpicam.mjpeg import FrameTooLarge, Splitter

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def segment(code: int, payload: bytes) -> bytes:
    return bytes((0xFF, code)) + (len(payload) + 2).to_bytes(2, "big") + payload


def scan(data: bytes) -> bytes:
    return segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + data.replace(b"\xff", b"\xff\x00")


JFIF = segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
PLAIN = SOI + JFIF + segment(0xDB, bytes(65)) + segment(0xC0, bytes(15)) + scan(b"picture") + EOI
PLAIN_OF_64_KIB = 0x10000 // len(PLAIN) + 2
"""So many that one is left, even where what looks like a length swallows all that a length can."""

payloads = st.binary(max_size=60) | st.sampled_from([EOI, SOI + b"\xff", PLAIN, EOI * 3, b"\xff"])
segment_codes = st.sampled_from([0xC0, 0xC4, 0xDB, 0xDD, 0xE0, 0xE1, 0xEF, 0xFE])
segments = st.builds(segment, segment_codes, payloads)
fills = st.integers(0, 3).map(lambda count: b"\xff" * count)
entropy = st.lists(
    st.binary(max_size=40).map(lambda data: data.replace(b"\xff", b"\xff\x00"))
    | st.integers(0xD0, 0xD7).map(lambda code: bytes((0xFF, code))),
    max_size=4,
).map(b"".join)
scans = st.builds(lambda data, fill: segment(0xDA, bytes(6)) + data + fill, entropy, fills)
jpegs = st.builds(
    lambda parts, last: SOI + b"".join(fill + part for fill, part in parts) + last + EOI,
    st.lists(st.tuples(fills, segments | scans), max_size=6),
    scans,
)
rubbish = st.binary(max_size=40).map(lambda data: data.replace(b"\xff", b"\x00"))
streams = st.lists(st.tuples(rubbish, jpegs), max_size=5)
limits = st.integers(50, 400)


def in_chunks(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


def split(chunks: Iterable[bytes], limit_bytes: int = 1 << 20) -> tuple[list[bytes], int]:
    """All frames, and how often the splitter found one too large."""
    splitter = Splitter(limit_bytes)
    frames: list[bytes] = []
    floods = 0
    for chunk in chunks:
        rest = chunk
        while True:
            try:
                frames += splitter.feed(rest)
                break
            except FrameTooLarge as flood:
                floods += 1
                frames += flood.completed
                rest = b""
    return frames, floods


@given(streams, st.lists(st.integers(0)))
def test_any_chunking_gives_the_frames_that_went_in(stream: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(noise + jpeg for noise, jpeg in stream)
    assert split(in_chunks(data, cuts)) == ([jpeg for _, jpeg in stream], 0)


@given(
    st.lists(st.binary(max_size=30) | jpegs | st.sampled_from([SOI, EOI, SOI + JFIF, b"\xff", PLAIN[:-2]])).map(
        b"".join
    ),
    st.lists(st.integers(0)),
    limits,
)
def test_any_chunking_gives_the_same_of_rubbish_too(data: bytes, cuts: list[int], limit_bytes: int) -> None:
    whole = split([data], limit_bytes)
    assert split(in_chunks(data, cuts), limit_bytes) == whole
    assert split([data[i : i + 1] for i in range(len(data))], limit_bytes) == whole
    assert all(frame.startswith(SOI) and frame.endswith(EOI) and len(frame) <= limit_bytes for frame in whole[0])


@given(st.binary(max_size=200), jpegs)
def test_after_rubbish_whole_images_are_found_again(noise: bytes, jpeg: bytes) -> None:
    frames, _ = split([noise + jpeg * 3 + PLAIN * PLAIN_OF_64_KIB])
    assert frames[-1] == PLAIN


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30), limits)
def test_memory_is_bounded_by_the_limit_and_one_chunk(chunks: list[bytes], limit_bytes: int) -> None:
    splitter = Splitter(limit_bytes)
    splitter.feed(SOI + JFIF + scan(b""))
    for chunk in chunks:
        with suppress(FrameTooLarge):
            splitter.feed(chunk.replace(b"\xff", b"\x00"))
        assert len(splitter._buffer) <= limit_bytes + 300


def test_an_end_of_image_in_a_thumbnail_does_not_end_the_image() -> None:
    jpeg = SOI + segment(0xE1, b"Exif\x00\x00" + PLAIN) + PLAIN[2:]
    assert split([jpeg, PLAIN])[0] == [jpeg, PLAIN]


def test_an_end_of_image_in_a_length_field_does_not_end_the_image() -> None:
    comment = segment(0xFE, b"x" * 0xD9FD)
    assert comment[:4] == b"\xff\xfe\xd9\xff"
    jpeg = SOI + b"\xff" + segment(0xFE, bytes(0xFFD9 - 2)) + comment + PLAIN[2:]
    assert split([jpeg, PLAIN])[0] == [jpeg, PLAIN]


def test_an_end_of_image_in_a_comment_behind_the_scan_does_not_end_the_image() -> None:
    jpeg = PLAIN[:-2] + segment(0xFE, EOI) + EOI
    assert split([jpeg, PLAIN])[0] == [jpeg, PLAIN]


def test_an_image_may_have_several_scans_and_restart_markers() -> None:
    data = segment(0xDA, bytes(6)) + b"ab\xff\xd0cd\xff\xd7ef\xff\x00"
    jpeg = SOI + JFIF + data + segment(0xC4, EOI) + data + EOI
    assert split([jpeg, PLAIN])[0] == [jpeg, PLAIN]


def test_fill_bytes_may_stand_before_every_marker() -> None:
    jpeg = SOI + b"\xff\xff" + JFIF + b"\xff" + scan(b"x") + b"\xff\xff\xff" + EOI
    assert split([jpeg, PLAIN])[0] == [jpeg, PLAIN]


def test_an_image_that_was_cut_is_dropped_and_the_next_one_found() -> None:
    swallowed = []
    for cut in range(2, len(PLAIN) - 1):
        frames, _ = split([PLAIN[:cut] + PLAIN * PLAIN_OF_64_KIB])
        assert frames[-1] == PLAIN
        swallowed.append(PLAIN_OF_64_KIB - len(frames))
    assert sorted(swallowed)[len(swallowed) // 2] <= 1


@pytest.mark.parametrize("flaw", [b"\x00\x00\x00\x04ab", b"\xff\x00", b"\xff\x02\x00\x04ab", b"\xff\xe0\x00\x01"])
def test_what_is_no_marker_where_one_is_due_ends_the_image_as_rubbish(flaw: bytes) -> None:
    assert split([SOI + JFIF + flaw + PLAIN])[0] == [PLAIN]


def test_a_flood_without_an_end_raises_and_the_next_image_comes_out() -> None:
    splitter = Splitter(limit_bytes=1000)
    with pytest.raises(FrameTooLarge) as caught:
        splitter.feed(PLAIN + SOI + JFIF + scan(bytes(2000)))
    assert caught.value.completed == [PLAIN]
    assert splitter.feed(b"") == []
    assert not splitter.pending
    assert splitter.feed(PLAIN) == [PLAIN]


def test_an_image_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert split([PLAIN], len(PLAIN)) == ([PLAIN], 0)
    assert split([PLAIN], len(PLAIN) - 1) == ([], 1)


def test_pending_tells_whether_an_image_has_begun() -> None:
    splitter = Splitter()
    assert not splitter.pending
    splitter.feed(PLAIN + PLAIN[:5])
    assert splitter.pending
    splitter.feed(PLAIN[5:])
    assert not splitter.pending


def test_the_cost_is_linear_in_what_comes_in_however_small_the_chunks() -> None:
    picture = SOI + JFIF + scan(random.Random(4).randbytes(400_000)) + EOI

    def cpu_s(size: int) -> float:
        started = time.process_time()
        assert split(picture[i : i + size] for i in range(0, len(picture), size)) == ([picture], 0)
        return time.process_time() - started

    # A second look at all that came before would make each of these about 100 times slower than it is.
    assert cpu_s(400) < 2
    assert cpu_s(65_536) < 0.5
