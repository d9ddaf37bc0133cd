from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.storage import fmp4
from tests.storage.footage import TICK, TIMESCALE, box, fragment, full, moov, record_segment, segment, u32


def walk_bytes(data: bytes, since: fmp4.Walk | None = None) -> fmp4.Walk:
    return fmp4.walk(fmp4.reader(data), len(data), since)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_segment(tmp_path_factory.mktemp("recorded") / "segment.mp4", seconds=4.5)


def probe(path: Path) -> tuple[float, int, int, int]:
    """Duration, frames, width and height by ffprobe."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-of", "json"]
    command += ["-show_entries", "stream=nb_read_frames,width,height:format=duration", str(path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    stream = told["streams"][0]
    return float(told["format"]["duration"]), int(stream["nb_read_frames"]), stream["width"], stream["height"]


def test_a_recorded_segment_is_walked_to_what_ffprobe_says_of_it(recorded: Path) -> None:
    found = walk_bytes(recorded.read_bytes())
    assert found.track is not None
    duration_s, frames, width, height = probe(recorded)
    assert (found.samples, found.track.width, found.track.height) == (frames, width, height)
    assert found.duration_s == pytest.approx(duration_s, abs=0.001)
    assert found.fragments == 5
    assert found.end == recorded.stat().st_size
    assert found.first_ticks == 0


def test_a_cut_file_plays_as_far_as_the_walk_says(recorded: Path, tmp_path: Path) -> None:
    data = recorded.read_bytes()
    whole = walk_bytes(data)
    cut = walk_bytes(data[: whole.media_end - 1])
    assert cut.samples == whole.samples - 15
    kept = tmp_path / "cut.mp4"
    kept.write_bytes(data[: cut.end])
    assert probe(kept)[1] == cut.samples


def test_nothing_plays_in_an_empty_file_or_one_without_its_moov() -> None:
    assert not walk_bytes(b"").playable
    assert not walk_bytes(fragment(0, [10] * 30)).playable
    assert not walk_bytes(box(b"ftyp", b"isom") + moov()).playable
    assert not walk_bytes(bytes(4096)).playable


def test_only_headers_and_moofs_are_read(recorded: Path) -> None:
    data = recorded.read_bytes()
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    found = fmp4.walk(read, len(data))
    assert sum(asked) < 3000 + 1000 * found.fragments
    assert len(data) > 2 * sum(asked)


def test_a_walk_goes_on_where_it_ended_without_reading_anything_twice() -> None:
    data = segment(seconds=10)
    half = walk_bytes(data[: len(data) // 2])
    offsets: list[int] = []

    def read(offset: int, length: int) -> bytes:
        offsets.append(offset)
        return data[offset : offset + length]

    assert fmp4.walk(read, len(data), half) == walk_bytes(data)
    assert min(offsets) == half.end


@given(st.lists(st.integers(0, len(segment(3))), max_size=6))
def test_any_growth_ends_in_the_same_walk(sizes: list[int]) -> None:
    data = segment(3)
    found = fmp4.Walk()
    for size in sorted(sizes):
        found = fmp4.walk(fmp4.reader(data[:size]), size, found)
        assert found.end <= size
    assert walk_bytes(data, found) == walk_bytes(data)


@given(st.integers(0, len(segment(3))))
def test_a_file_cut_at_any_byte_keeps_its_whole_fragments(size: int) -> None:
    data = segment(3)
    found = walk_bytes(data[:size])
    ends = [walk_bytes(segment(seconds)).end for seconds in range(1, 4)]
    assert found.fragments == sum(end <= size for end in ends)
    assert found.samples == 30 * found.fragments
    assert found.media_end in {0, *ends}


def test_durations_come_from_the_samples_or_from_the_defaults() -> None:
    head = box(b"ftyp", b"isom") + moov()
    assert walk_bytes(head + fragment(0, [9, 9], [TICK, 5 * TICK])).duration_s == pytest.approx(6 / 30)
    assert walk_bytes(head + fragment(7 * TICK, [9, 9])).duration_s == pytest.approx(2 / 30)
    assert walk_bytes(head + fragment(7 * TICK, [9, 9])).first_ticks == 7 * TICK


def test_a_hole_between_fragments_counts_as_time() -> None:
    data = box(b"ftyp", b"isom") + moov() + fragment(0, [9] * 30) + fragment(90 * TICK, [9] * 30)
    found = walk_bytes(data)
    assert found.duration_s == pytest.approx(4.0)
    assert found.samples == 60


def test_a_fragment_that_promises_more_bytes_than_it_has_is_damaged() -> None:
    whole = segment(1)
    lying = fragment(30 * TICK, [100] * 30).replace(box(b"mdat", bytes(3000)), box(b"mdat", bytes(2999)))
    assert walk_bytes(whole + lying).end == len(whole)


def test_a_sample_count_without_samples_costs_nothing() -> None:
    trun = full(b"trun", 0, u32(0xFFFFFFFF))
    traf = box(b"traf", full(b"tfhd", 0x020018, u32(1, 1, 0)), trun)
    data = box(b"ftyp", b"isom") + moov() + box(b"moof", traf) + box(b"mdat", bytes(100))
    assert not walk_bytes(data).playable


def test_a_64_bit_box_size_is_understood() -> None:
    part = fragment(0, [10] * 30)
    moof_end = struct.unpack_from(">I", part)[0]
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 300) + bytes(300)
    data = box(b"ftyp", b"isom") + moov() + part[:moof_end] + large
    assert walk_bytes(data).samples == 30
    assert not walk_bytes(data[:-1]).playable


def test_boxes_that_nobody_knows_are_passed_over() -> None:
    data = segment(1) + box(b"uuid", bytes(40)) + fragment(30 * TICK, [10] * 30) + box(b"mfra", bytes(20))
    found = walk_bytes(data)
    assert found.fragments == 2
    assert found.end == len(data)
    assert found.media_end == len(data) - 28


def test_a_track_that_is_not_a_picture_is_not_counted() -> None:
    sound = moov().replace(b"vide", b"soun")
    assert not walk_bytes(box(b"ftyp", b"isom") + sound + fragment(0, [10] * 30)).playable


def check_sane(data: bytes) -> None:
    reads = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        assert 0 <= length <= fmp4.MAX_HEADER_BOX_BYTES
        return data[offset : offset + length]

    found = fmp4.walk(read, len(data))
    assert reads <= len(data) // 4 + 8
    assert 0 <= found.media_end <= found.end <= len(data)
    assert found.samples <= len(data)
    assert found.duration_s >= 0
    assert found.playable == (found.media_end > 0)


@given(st.binary(max_size=400))
def test_any_bytes_are_walked_without_an_error(data: bytes) -> None:
    check_sane(data)


@given(st.data())
def test_a_damaged_segment_is_walked_without_an_error(data: st.DataObject) -> None:
    damaged = bytearray(segment(2, sample_bytes=2))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + 4] = data.draw(st.binary(min_size=1, max_size=4))
    check_sane(bytes(damaged))


@example([b"moof", b"mdat"], [0, 8])
@given(st.lists(st.sampled_from([b"ftyp", b"moov", b"moof", b"mdat", b"uuid", b"free"])), st.lists(st.integers(0, 40)))
def test_any_row_of_boxes_is_walked_without_an_error(kinds: list[bytes], sizes: list[int]) -> None:
    check_sane(b"".join(box(kind, bytes(size)) for kind, size in zip(kinds, sizes, strict=False)))


def test_the_last_box_is_found_from_the_end() -> None:
    trailer = box(b"uuid", b"content", u32(19))
    data = segment(1) + trailer
    assert fmp4.last_box(fmp4.reader(data), len(data), b"uuid", 4096) == (len(data) - 19, b"content" + u32(19))
    assert fmp4.last_box(fmp4.reader(data), len(data), b"free", 4096) is None
    assert fmp4.last_box(fmp4.reader(data[:-1]), len(data) - 1, b"uuid", 4096) is None


@given(st.binary(max_size=60))
def test_the_last_box_of_any_bytes_is_sought_without_an_error(data: bytes) -> None:
    fmp4.last_box(fmp4.reader(data), len(data), b"uuid", 32)


def test_the_timescale_is_the_pictures() -> None:
    track = walk_bytes(segment(1)).track
    assert track is not None
    assert track.timescale == TIMESCALE
