from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.simulated.command_line import Refused
from edge_agent.simulated.options import bitrate_bps, read, time_ns
from edge_agent.simulated.settings import Settings


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("0", 0), ("5sec", 5_000_000), ("2000", 2_000_000), ("2min", 120_000_004), ("250us", 250), ("1.5s", 1_500_000)],
)
def test_times_have_the_units_and_the_precision_of_the_real_program(text: str, microseconds: int) -> None:
    assert time_ns(text) // 1000 == microseconds


def test_4500_milliseconds_are_4499_as_in_the_real_program() -> None:
    assert time_ns("4500") // 1_000_000 == 4499


@pytest.mark.parametrize(
    ("text", "rate"),
    [("3000000", 3_000_000), ("3mbps", 3_000_000), ("64k", 64_000), ("4M", 4_000), ("4Mbps", 4), ("4kbit", 4)],
)
def test_bitrates_have_the_surprises_of_the_real_program(text: str, rate: int) -> None:
    assert bitrate_bps(text) == rate


def test_defaults_are_640x480_at_30_for_5_seconds() -> None:
    options = read([], Settings())
    assert (options.width, options.height, options.frames_per_second) == (640, 480, 30.0)
    assert (options.timeout_ns, options.codec, options.quality) == (5_000_000_000, "h264", 50)


def test_turning_by_180_degrees_is_both_flips() -> None:
    turned = read(["--rotation", "180"], Settings())
    back = read(["--rotation", "180", "--hflip", "--vflip"], Settings())
    assert (turned.hflip, turned.vflip) == (True, True)
    assert (back.hflip, back.vflip) == (False, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t", "soon"], "Invalid time string provided"),
        (["-b", "much"], "Invalid bitrate string provided"),
        (["--codec", "theora"], "unrecognised codec theora"),
        (["--rotation", "90"], "transforms requiring transpose not supported"),
        (["--rotation", "5"], "illegal rotation value"),
        (["--awb", "golden"], "Invalid AWB mode: golden"),
        (["--initial", "later"], "incorrect initial value later"),
        (["--hdr", "much"], "Invalid HDR option provided: much"),
    ],
)
def test_values_that_cannot_be_are_refused_in_the_real_words(words: list[str], message: str) -> None:
    with pytest.raises(Refused, match=f"^{message}$"):
        read(words, Settings())


def test_cameras_are_listed_whatever_the_codec() -> None:
    assert read(["--list-cameras", "--codec", "theora"], Settings()).list_cameras


def test_options_are_read_from_a_config_file_and_a_missing_one_is_ignored(tmp_path: Path) -> None:
    config = tmp_path / "options.txt"
    config.write_text("width=1280\nheight=720\nflush=true\n")
    options = read(["-c", str(config), "--height", "960"], Settings())
    assert (options.width, options.height, options.flush) == (1280, 960, True)
    assert read(["-c", str(tmp_path / "missing")], Settings()).width == 640


def test_segmenting_warns_about_headers_and_a_missing_directive() -> None:
    options = read(["--segment", "1000", "-o", "x.h264"], Settings())
    assert options.warnings == (
        "WARNING: consider inline headers with 'pause'/split/segment/circular",
        "WARNING: expected % directive in output filename",
    )
