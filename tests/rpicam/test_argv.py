from __future__ import annotations

import os
import shlex
import subprocess
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Camera, Profile
from edge_agent.rpicam.argv import (
    ExtraArgRefused,
    check_extra_args,
    environment,
    live_argv,
    record_argv,
    tee_output,
)
from edge_agent.rpicam.probe import Abilities

GOLDEN = Path(__file__).parent / "golden"
CAM0 = Camera("cam0", 0, "Front")
CAM1 = Camera("cam1", 1, "Rear", hflip=True, vflip=True)
SMALL = Profile(640, 480, 30, bitrate_bps=1_500_000)
MIDDLE = Profile(1280, 720, 30, bitrate_bps=3_000_000)
LARGE = Profile(1920, 1080, 30, bitrate_bps=6_000_000)
LIVE = Profile(640, 480, 30, quality=80)
PI5 = Abilities(("/usr/bin/rpicam-vid",), (1, 8, 1), "1.8.1", has_libav=True, hardware_encoder=False)
PI4 = Abilities(("/usr/bin/rpicam-vid",), (1, 8, 1), "1.8.1", has_libav=True, hardware_encoder=True)
MODES = {
    **{
        f"{camera.id}-{profile.short}": [(camera, profile)]
        for camera in (CAM0, CAM1)
        for profile in (SMALL, MIDDLE, LARGE)
    },
    **{f"dual-{profile.short}": [(CAM0, profile), (CAM1, profile)] for profile in (SMALL, MIDDLE, LARGE)},
    "quick": [(CAM0, SMALL), (CAM1, SMALL)],
    "demo": [(camera, profile) for profile in (SMALL, MIDDLE, LARGE) for camera in (CAM0, CAM1)],
}


def record(
    camera: Camera = CAM0,
    profile: Profile = SMALL,
    *,
    abilities: Abilities = PI5,
    intra_s: float = 1.0,
    extra_args: tuple[str, ...] = (),
) -> list[str]:
    run = f"/var/lib/edge-agent/spool/0000000042-{camera.id}"
    return record_argv(
        abilities.program,
        camera,
        camera.index,
        profile,
        segment_s=60,
        intra_s=intra_s,
        tap_port=45671 + camera.index,
        segment_pattern=f"{run}/%06d.mp4",
        list_path=f"{run}/segments.csv",
        abilities=abilities,
        extra_args=extra_args,
    )


def live(camera: Camera = CAM0, profile: Profile = LIVE, *, extra_args: tuple[str, ...] = ()) -> list[str]:
    return live_argv(PI5.program, camera, camera.index, profile, extra_args=extra_args)


@pytest.mark.parametrize(("machine", "abilities"), [("pi5", PI5), ("pi4", PI4)])
def test_every_recording_mode_has_the_written_command_lines(machine: str, abilities: Abilities) -> None:
    built = [
        f"{mode} {camera.id} {profile.short}: {shlex.join(record(camera, profile, abilities=abilities))}"
        for mode, parts in MODES.items()
        for camera, profile in parts
    ]
    assert built == (GOLDEN / f"record-{machine}.txt").read_text("utf-8").splitlines()


def test_live_view_has_the_written_command_lines() -> None:
    built = [f"stream {camera.id}: {shlex.join(live(camera))}" for camera in (CAM0, CAM1)]
    assert built == (GOLDEN / "live.txt").read_text("utf-8").splitlines()


def test_the_tee_string_is_the_one_that_was_run_with_the_real_program() -> None:
    assert tee_output("/rec/cam0/R_%06d.mp4", "/rec/cam0/l.csv", segment_s=60, tap_port=5671) == (
        r"udp://127.0.0.1:5671?pkt_size=1316&x=.ts|[f=segment:segment_time=60:segment_atclocktime=1:segment_format=mp4"
        r":segment_format_options=movflags=+frag_keyframe+delay_moov+default_base_moof\\:flush_packets=1"
        r":segment_list=/rec/cam0/l.csv:segment_list_type=csv:reset_timestamps=1:onfail=abort"
        r":use_fifo=1:fifo_options=queue_size=600]/rec/cam0/R_%06d.mp4"
    )


@pytest.mark.parametrize(("intra_s", "frames"), [(1.0, "30"), (0.5, "15"), (2, "60"), (0.001, "1")])
def test_a_group_of_pictures_is_as_long_as_asked_for(intra_s: float, frames: str) -> None:
    argv = record(intra_s=intra_s)
    assert argv[argv.index("-g") + 1] == frames


def test_the_picture_is_turned_as_configured() -> None:
    turned = live(Camera("cam0", 0, "Front", hflip=True, rotation=180))
    assert "--hflip" in turned
    assert "--vflip" not in turned
    assert turned[turned.index("--rotation") + 1] == "180"
    assert "--rotation" not in live()


@pytest.mark.parametrize(
    ("extra", "ours"),
    [
        (("--bitrate", "900000"), ["-b", "1500000"]),
        (("--bitrate=900000",), ["-b", "1500000"]),
        (("-b", "900000"), ["-b", "1500000"]),
        (("-b900000",), ["-b", "1500000"]),
        (("--bitr", "900000"), ["-b", "1500000"]),
        (("--nopreview", "0"), ["-n"]),
        (("--width=1296",), ["--width", "640"]),
        (("--denoise", "cdn_off", "--framerate", "15"), ["--framerate", "30"]),
    ],
)
def test_an_extra_argument_takes_the_place_of_ours(extra: tuple[str, ...], ours: list[str]) -> None:
    plain = record()
    at = plain.index(ours[0])
    assert plain[at : at + len(ours)] == ours
    assert record(extra_args=extra) == plain[:at] + plain[at + len(ours) :] + list(extra)


def test_the_encoder_options_of_a_pi_4_can_be_replaced_one_by_one() -> None:
    argv = record(abilities=PI4, extra_args=("--libav-video-codec", "libx264"))
    assert argv.count("--libav-video-codec") == 1
    assert "h264_v4l2m2m" not in argv
    assert "--libav-video-codec-opts" in argv


def test_choosing_an_encoder_keeps_the_options_of_ours() -> None:
    argv = record(extra_args=("--libav-video-codec", "libx264"))
    assert argv == [*record(), "--libav-video-codec", "libx264"]


@pytest.mark.parametrize(
    "extra", [("--brightness", "-0.2"), ("--roi=0,0,1,1",), ("--denoise", "cdn_off"), ("--ev", "-1")]
)
def test_other_extra_arguments_are_added_at_the_end(extra: tuple[str, ...]) -> None:
    assert record(extra_args=extra) == [*record(), *extra]
    assert live(extra_args=extra) == [*live(), *extra]


@pytest.mark.parametrize(
    ("extra", "option"),
    [
        (("-o", "/tmp/x.mp4"), "output"),
        (("-ox.mp4",), "output"),
        (("--denoise", "off", "--output=x"), "output"),
        (("--outp", "x"), "output"),
        (("--camera", "1"), "camera"),
        (("--codec", "mjpeg"), "codec"),
        (("-t", "5000"), "timeout"),
        (("--segment", "1000"), "segment"),
        (("--version",), "version"),
    ],
)
def test_an_extra_argument_that_would_break_the_recording_is_refused(extra: tuple[str, ...], option: str) -> None:
    with pytest.raises(ExtraArgRefused, match=f"--{option} is not possible") as caught:
        check_extra_args(extra)
    assert caught.value.option == option
    with pytest.raises(ExtraArgRefused):
        record(extra_args=extra)
    with pytest.raises(ExtraArgRefused):
        live(extra_args=extra)


def test_the_environment_is_in_utc_and_keeps_the_agents_secrets() -> None:
    inherited = {
        "PATH": "/usr/bin",
        "TZ": "Europe/Berlin",
        "EDGE_AGENT__MQTT__PASSWORD": "secret",
        "EDGE_AGENT_SIMULATED": "faults.json",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "LISTEN_FDS": "1",
    }
    assert environment(inherited) == {
        "PATH": "/usr/bin",
        "TZ": "UTC0",
        "EDGE_AGENT_SIMULATED": "faults.json",
        "LIBCAMERA_LOG_LEVELS": "*:WARN",
        "LIBCAMERA_LOG_NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    assert environment({"LIBCAMERA_LOG_LEVELS": "*:DEBUG"})["LIBCAMERA_LOG_LEVELS"] == "*:DEBUG"


# How the tee muxer reads: tokens end at a character of `ends`, a backslash protects the next character, quotes
# protect all to the next one, and unprotected blanks at both ends go.


def token(text: str, ends: str) -> tuple[str, str]:
    """The first token of `text` and what is left, from the ending character on."""
    text = text.lstrip(" \n\t\r")
    out: list[str] = []
    kept = 0
    at = 0
    while at < len(text) and text[at] not in ends:
        if text[at] == "\\" and at + 1 < len(text):
            out.append(text[at + 1])
            at += 2
            kept = len(out)
        elif text[at] == "'":
            end = text.index("'", at + 1)
            out += text[at + 1 : end]
            at = end + 1
            kept = len(out)
        else:
            out.append(text[at])
            at += 1
            kept = len(out) if out[-1] not in " \n\t\r" else kept
    return "".join(out[:kept]), text[at:]


def read_tee(text: str) -> tuple[str, dict[str, str], str]:
    """First output, options of the second, and its file name, as the tee muxer reads them."""
    first, rest = token(text, "|")
    second, rest = token(rest[1:], "|")
    assert rest == ""
    assert second.startswith("[")
    options = {}
    rest = second
    while not rest.startswith("]"):
        key, _, rest = rest[1:].partition("=")
        options[key], rest = token(rest, ":]")
    return first, options, rest[1:]


paths = st.text(
    st.sampled_from("ab/ :[]|'\\%\"&?=,;\n\t.d6") | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=20,
)


@given(paths, paths)
def test_any_path_comes_through_the_tee_string(directory: str, list_name: str) -> None:
    tee = tee_output(f"/{directory}/%06d.mp4", f"/{list_name}", segment_s=60, tap_port=5671)
    first, options, path = read_tee(tee)
    assert first == "udp://127.0.0.1:5671?pkt_size=1316&x=.ts"
    assert options["segment_list"] == f"/{list_name}"
    assert options["segment_format_options"].split(":")[1] == "flush_packets=1"
    assert options["onfail"] == "abort"
    assert path % 0 == f"/{directory}/000000.mp4"


def test_ffmpegs_tee_muxer_finds_an_awkward_path(tmp_path: Path) -> None:
    spool = tmp_path / r"a b:c[d]e|f'g\h%06d,i;j=k&l?m\"n #ü "
    spool.mkdir()
    tee = tee_output(f"{spool}/%06d.mp4", f"{spool}/list [1]:|'\\%d.csv ", segment_s=1, tap_port=9)
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=3", "-map", "0:v"]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-flags", "+global_header"]
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", *source, *encoder, "-f", "tee", tee],
        check=True,
        timeout=60,
        env=environment(os.environ),
    )
    stored = sorted(path.name for path in spool.iterdir())
    assert stored[0] == "000000.mp4"
    assert stored[-1] == "list [1]:|'\\%d.csv "
    listed = (spool / stored[-1]).read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in listed] == stored[:-1]
    assert b"moof" in (spool / stored[0]).read_bytes()


def test_no_recording_command_line_repeats_an_option() -> None:
    for camera, profile in chain.from_iterable(MODES.values()):
        options = [token for token in record(camera, profile, abilities=PI4) if token.startswith("-")]
        assert len(options) == len(set(options))
