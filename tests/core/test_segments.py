from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core import segments
from edge_agent.core.model import NAME_PATTERN, Profile, is_name

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(is_name)
sizes = st.one_of(
    st.sampled_from([(640, 480), (1280, 720), (1920, 1080)]),
    st.tuples(st.integers(10, 99999), st.integers(10, 99999)),
)
seconds = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
serials = st.integers(0, 999_999)


def profile(width: int = 640, height: int = 480) -> Profile:
    return Profile(width, height, 30)


def test_a_segment_is_named_by_size_camera_and_start() -> None:
    path = segments.segment_path("cam0", profile(), AT)
    assert str(path) == "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4"
    assert segments.segment_path("cam0", profile(), AT, 2).name == "blackbox_cam0_640_20261123T091500Z-2.mp4"
    assert segments.thumbnail_path(path).name == "blackbox_cam0_640_20261123T091500Z.jpg"
    assert segments.lock_path(path).name == "blackbox_cam0_640_20261123T091500Z.lock"
    assert segments.uploaded_path(path).name == "blackbox_cam0_640_20261123T091500Z.uploaded"


@pytest.mark.parametrize(
    ("size", "word"), [((640, 480), "640"), ((1280, 720), "720p"), ((1920, 1080), "1080p"), ((800, 600), "800x600")]
)
def test_a_size_has_its_short_word_in_the_name(size: tuple[int, int], word: str) -> None:
    assert f"_{word}_" in segments.segment_path("cam1", profile(*size), AT).name


@given(names, sizes, seconds, serials)
def test_a_built_path_parses_to_what_it_was_built_from(
    camera: str, size: tuple[int, int], at: datetime, serial: int
) -> None:
    parsed = segments.parse_segment_path(segments.segment_path(camera, profile(*size), at, serial))
    assert parsed == segments.SegmentName(camera, *size, at, serial)


near_paths = st.builds(
    "{}/{}/blackbox_{}_{}_{}{}.mp4".format,
    st.sampled_from(["640x480", "1280x720", "0640x480", "640x0", "99x99", "snapshots"]),
    st.sampled_from(["cam0", "all", "Cam0", "..", "a-b_c"]),
    st.sampled_from(["cam0", "all", "a-b_c", ""]),
    st.sampled_from(["640", "640x480", "99x99", "720p"]),
    st.sampled_from(["20261123T091500Z", "20261323T091500Z", "20261123T091560Z", "\u0662\u0660261123T091500Z"]),
    st.sampled_from(["", "-1", "-0", "-01", "-999999", "-x"]),
)


@given(st.one_of(st.text(), near_paths))
def test_a_parsed_path_is_built_back_to_itself(path: str) -> None:
    parsed = segments.parse_segment_path(path)
    if parsed is not None:
        built = segments.segment_path(
            parsed.camera, profile(parsed.width, parsed.height), parsed.started_at, parsed.serial
        )
        assert str(built) == path


@pytest.mark.parametrize(
    "path",
    [
        "640x480/cam0/blackbox_cam1_640_20261123T091500Z.mp4",
        "640x480/cam0/blackbox_cam0_720p_20261123T091500Z.mp4",
        "640x480/cam0/blackbox_cam0_640_20261123T091500Z-0.mp4",
        "640x480/cam0/blackbox_cam0_640_20261323T091500Z.mp4",
        "640x480/cam0/../cam0/blackbox_cam0_640_20261123T091500Z.mp4",
        "/640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4",
        "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4\n",
        "spool/x/000001.mp4",
    ],
)
def test_a_path_that_is_not_a_segments_is_refused(path: str) -> None:
    assert segments.parse_segment_path(path) is None
    assert not segments.is_archive_path(path)


def test_archive_paths_are_segments_thumbnails_snapshots_and_clips() -> None:
    segment = segments.segment_path("cam0", profile(), AT)
    end = AT + timedelta(minutes=5)
    mine = (
        segment,
        segments.thumbnail_path(segment),
        segments.snapshot_path("cam0", AT, 1),
        segments.clip_path("cam0", AT, end),
    )
    assert all(segments.is_archive_path(str(path)) for path in mine)
    assert not segments.is_archive_path(str(segments.lock_path(segment)))
    assert not segments.is_archive_path(str(PurePosixPath("snapshots/cam0/../../etc.jpg")))


@given(names, seconds, serials)
def test_a_snapshots_path_gives_back_its_camera_and_instant(camera: str, at: datetime, serial: int) -> None:
    path = str(segments.snapshot_path(camera, at, serial))
    assert segments.parse_snapshot_path(path) == (camera, at)
    assert segments.is_archive_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "snapshots/cam0/blackbox_cam1_20261123T091500Z.jpg",
        "snapshots/cam0/blackbox_cam0_20261323T091500Z.jpg",
        "snapshots/cam0/blackbox_cam0_20261123T091500Z.mp4",
    ],
)
def test_a_path_that_is_not_a_snapshots_is_refused(path: str) -> None:
    assert segments.parse_snapshot_path(path) is None


def test_another_time_zone_gives_the_name_in_utc() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert segments.segment_path("cam0", profile(), there) == segments.segment_path("cam0", profile(), AT)


@given(names, seconds, st.integers(0, 10**12 - 1))
def test_a_run_id_gives_back_its_camera_and_sequence(camera: str, at: datetime, sequence: int) -> None:
    stamp = f"{at.year:04d}{at:%m%dT%H%M%SZ}"
    run_id = f"{stamp}-{sequence:06d}-{camera}"
    assert segments.parse_run_id(run_id) == segments.RunName(run_id, at, sequence, camera)
    assert segments.parse_run_id(run_id + "/") is None


def test_the_stream_offset_dates_a_segment_while_the_clocks_agree() -> None:
    assert segments.start_offset_s(60.02, 59.9, 60.8) == 60.02


def test_the_end_of_the_segment_before_dates_one_that_the_list_does_not_name() -> None:
    assert segments.start_offset_s(None, 59.9, 60.5) == 59.9


def test_a_stream_offset_stretched_by_a_clock_step_is_not_believed() -> None:
    assert segments.start_offset_s(3720.0, None, 120.5) == 120.5
    assert segments.start_offset_s(3720.0, 119.9, 120.5) == 119.9


def test_a_file_that_came_late_after_a_stall_of_the_disk_keeps_its_stream_offset() -> None:
    assert segments.start_offset_s(60.02, None, 80.0) == 60.02


def test_without_a_witness_the_stream_offset_is_all_there_is() -> None:
    assert segments.start_offset_s(3720.0, None, None) == 3720.0
    assert segments.start_offset_s(None, None, 12.5) == 12.5
    assert segments.start_offset_s(None, None, None) == 0.0


maybe = st.none() | st.floats()


@given(maybe, maybe, st.none() | st.floats(-1e9, 1e12))
def test_a_segment_never_starts_before_its_run_nor_after_it_was_seen(
    listed: float | None, previous: float | None, seen: float | None
) -> None:
    offset = segments.start_offset_s(listed, previous, seen)
    assert 0 <= offset < float("inf")
    if seen is not None:
        assert offset <= max(seen, 0) + segments.DISTRUST_S


def test_a_duration_is_the_medias_unless_a_step_stretched_it() -> None:
    assert segments.believed_duration_s(60.0, 60.0, 120.6) == 60.0
    assert segments.believed_duration_s(3660.0, 60.0, 120.6) == pytest.approx(60.6)
    assert segments.believed_duration_s(3660.0, 60.0, None) == 3660.0


def test_a_start_beyond_the_calendar_is_held_at_its_end() -> None:
    assert segments.start_instant(AT, 90.5) == AT + timedelta(seconds=90.5)
    assert segments.start_instant(AT, 1e15).year == 9999


def test_reserved_words_name_no_camera() -> None:
    assert [is_name(word) for word in ("cam0", "all", "cmd", "Cam0")] == [True, False, False, False]
    assert segments.parse_run_id("20261123T091500Z-000042-all") is None
    assert segments.parse_run_id("20261323T091500Z-000042-cam0") is None


def test_pictures_and_clips_are_named_by_camera_and_instants() -> None:
    end = AT + timedelta(minutes=5)
    assert [
        segments.snapshot_path("cam0", AT).name,
        segments.snapshot_path("cam0", AT, 3).name,
        segments.clip_path("cam0", AT, end).name,
        segments.clip_path("cam0", AT, end, 3).name,
    ] == [
        "blackbox_cam0_20261123T091500Z.jpg",
        "blackbox_cam0_20261123T091500Z-3.jpg",
        "blackbox_cam0_20261123T091500Z_20261123T092000Z.mp4",
        "blackbox_cam0_20261123T091500Z_20261123T092000Z-3.mp4",
    ]


def test_the_machines_own_time_zone_is_in_no_name(own_time_zone: None) -> None:
    assert segments.segment_path("cam0", profile(), AT).name == "blackbox_cam0_640_20261123T091500Z.mp4"
    assert segments.start_instant(AT, 0.0).tzinfo is UTC
    assert segments.start_instant(AT, 1e15).tzinfo is UTC


def test_offsets_and_durations_below_a_second_are_believed_too() -> None:
    assert segments.start_offset_s(0.2, None, 0.5) == 0.2
    assert segments.start_offset_s(None, None, 0.5) == 0.5
    assert segments.believed_duration_s(3660.0, 60.0, 60.5) == 0.5


def test_what_is_ahead_by_no_more_than_the_distrust_is_believed() -> None:
    assert segments.start_offset_s(122.5, None, 120.5) == 122.5
    assert segments.believed_duration_s(62.0, 60.0, 120.0) == 62.0
