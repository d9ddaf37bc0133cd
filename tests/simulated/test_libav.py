from __future__ import annotations

import itertools
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import av
import pytest

from tests.simulated.camera_program import ENCODER, LIBAV, Machine, Program, frame_numbers, tee

TERMINATE = "terminate called after throwing an instance of 'std::runtime_error'\n  what():  "


def whole(*arguments: str) -> tuple[str, ...]:
    return ("-n", "-t", "0", "--framerate", "30", "-b", "1500000", "-g", "30", *arguments)


def datagrams(receiver: socket.socket, program: Program) -> bytes:
    """The live copy, until the program has ended and nothing more comes."""
    result = b""
    while True:
        try:
            datagram = receiver.recv(65_536)
        except TimeoutError:
            if program.process.poll() is not None:
                return result
            continue
        assert len(datagram) <= 1316
        result += datagram


@pytest.mark.slow
def test_segments_and_live_copy_hold_every_frame_once(machine: Machine, tmp_path: Path) -> None:
    listed, live = tmp_path / "list.csv", tmp_path / "live.ts"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1.0)
        port = receiver.getsockname()[1]
        program = machine.start(*whole("--frames", "270", *tee(tmp_path, port=port, listed=str(listed))))
        live.write_bytes(datagrams(receiver, program))
    assert program.returncode() == 0
    assert frame_numbers(live) == list(range(1, 271))
    segments = sorted(tmp_path.glob("run_*.mp4"))
    assert [n for segment in segments for n in frame_numbers(segment)] == list(range(1, 271))
    rows = [row.split(",") for row in listed.read_text().splitlines()]
    assert [row[0] for row in rows] == [segment.name for segment in segments]
    assert len(segments) >= 5
    assert rows[0][1] == "0.000000"
    assert all(first[2] == second[1] for first, second in itertools.pairwise(rows))
    with av.open(str(segments[1])) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (640, 480, "h264")
        assert stream.start_time == 0


def test_an_interrupted_run_lists_its_last_segment_and_closes_it(machine: Machine, tmp_path: Path) -> None:
    program = machine.start(*whole(*tee(tmp_path, seconds=1)), stdout=subprocess.PIPE)
    program.wait_for("run_000001.mp4' for writing")
    program.process.send_signal(signal.SIGINT)
    rows = program.stdout.read().decode().splitlines()
    assert program.returncode() == 0
    segments = sorted(tmp_path.glob("run_*.mp4"))
    assert [row.split(",")[0] for row in rows] == [segment.name for segment in segments]
    numbers = [n for segment in segments for n in frame_numbers(segment)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "Received signal 2\n" in program.stderr


def test_a_killed_run_leaves_its_whole_groups_of_pictures(machine: Machine, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    program = machine.start(*whole(*tee(tmp_path, seconds=1, listed=str(listed))))
    program.wait_for("run_000002.mp4' for writing")
    program.process.send_signal(signal.SIGTERM)
    assert program.returncode() == -signal.SIGTERM
    assert frame_numbers(tmp_path / "run_000001.mp4") == list(range(31, 61))
    assert "run_000002" not in listed.read_text()


def test_stopped_before_the_first_frame_it_leaves_no_file(machine: Machine, tmp_path: Path) -> None:
    machine.inject({"0": {"fault": "freeze"}})
    program = machine.start(*whole(*tee(tmp_path)))
    program.wait_for("Output #0, tee, to 'udp://")
    program.process.send_signal(signal.SIGTERM)
    program.returncode()
    assert list(tmp_path.glob("run_*")) == []


def test_a_directory_that_vanishes_is_noticed_at_the_next_segment(machine: Machine, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    directory.mkdir()
    program = machine.start(*whole(*tee(directory, seconds=1)))
    program.wait_for("run_000000.mp4' for writing")
    shutil.rmtree(directory)
    assert program.returncode() == -signal.SIGABRT
    assert program.stderr.endswith(f"{TERMINATE}libav: error writing output: No such file or directory\n")


def test_a_missing_directory_aborts_it(machine: Machine, tmp_path: Path) -> None:
    program = machine.start(*whole(*tee(tmp_path / "missing")))
    assert program.returncode() == -signal.SIGABRT
    assert program.stderr.endswith("No such file or directory\n")


@pytest.mark.parametrize("version", ["1.5.3", "1.8.1", "1.11.0"])
def test_old_versions_fail_on_a_string_that_begins_with_a_bracket(machine: Machine, version: str) -> None:
    output = "[f=mpegts]udp://127.0.0.1:9"
    code, _, stderr = machine.run(*whole(*LIBAV, "flags=+global_header", "-o", output), version=version)
    assert code == -signal.SIGABRT
    assert stderr.endswith(
        f"{TERMINATE}libav: unable to open output mux for {output}: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("output", "version"),
    [("[f=mpegts]udp://127.0.0.1:9", "1.11.1"), ("udp://127.0.0.1:9?x=.ts|[f=mpegts]udp://127.0.0.1:10", "1.5.3")],
)
def test_the_forms_that_work_work(machine: Machine, output: str, version: str) -> None:
    arguments = whole("--frames", "5", *LIBAV, ENCODER, "-o", output)
    assert machine.run(*arguments, version=version)[0] == 0


def test_an_unwritable_mp4_aborts_it(machine: Machine) -> None:
    code, _, stderr = machine.run(*whole("--codec", "libav", "-o", "/nonexistent/x.mp4"))
    assert code == -signal.SIGABRT
    assert stderr.endswith(
        f"{TERMINATE}libav: unable to open output mux for /nonexistent/x.mp4: No such file or directory\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--segment", "1000", "-o", "x%d.mp4"], "libav: Incompatible options selected."),
        (["-o", "-"], "libav: cannot allocate output context, try setting with --libav-format"),
        (["--libav-format", "nosuch", "-o", "x"], "libav: cannot allocate output context"),
        (["--libav-video-codec", "nosuch", "-o", "x.mp4"], "libav: cannot find video encoder nosuch"),
        (
            ["--libav-video-codec-opts", "nosuch=1", "-o", "x.mp4"],
            "libav: codec option error nosuch=1: Option not found",
        ),
        (["-b", "4Mbps", "-o", "x.mp4"], "libav: unable to open video codec: "),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_255(machine: Machine, arguments: list[str], message: str) -> None:
    code, _, stderr = machine.run("-n", "--codec", "libav", *arguments)
    assert code == 255
    assert stderr.splitlines()[-1].startswith(f"ERROR: *** {message}")


def test_before_1_7_segmenting_a_container_was_ignored(machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "x%d.mp4"
    arguments = ("-n", "--frames", "5", "--codec", "libav", "--segment", "1000", "-o", str(target))
    code, _, stderr = machine.run(*arguments, version="1.5.3")
    assert code == 0
    assert "does not currently support" in stderr
    assert frame_numbers(target) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("codec", ["h264", "libav"])
def test_a_pi_5_encodes_with_libx264_whatever_is_asked_for(machine: Machine, tmp_path: Path, codec: str) -> None:
    target = tmp_path / "x.mp4"
    arguments = ("--frames", "5", "--codec", codec, "--libav-video-codec", "h264_v4l2m2m", "-o", str(target))
    code, _, stderr = machine.run("-n", *arguments)
    assert code == 0
    assert "[libx264 @" in stderr
    assert frame_numbers(target) == [1, 2, 3, 4, 5]


def test_elementary_h264_can_be_cut_into_files(machine: Machine, tmp_path: Path) -> None:
    arguments = ("--frames", "12", "-g", "1", "--framerate", "20", "--codec", "libav", "--segment", "220", "--inline")
    code, _, _ = machine.run("-n", *arguments, "--low-latency", "-o", str(tmp_path / "cut%02d.h264"))
    files = sorted(tmp_path.glob("cut*.h264"))
    assert code == 0
    assert len(files) > 1
    assert [n for file in files for n in frame_numbers(file)] == list(range(1, 13))


def test_flips_reach_the_file(machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "x.mp4"
    assert machine.run("-n", "--frames", "3", "--codec", "libav", "--rotation", "180", "-o", str(target))[0] == 0
    assert frame_numbers(target) == [1, 2, 3]
