from __future__ import annotations

import itertools
import signal
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.simulated.camera_program import Machine, Program, frame_numbers, jpeg_numbers, tee

MJPEG = ("-n", "-t", "0", "--codec", "mjpeg", "--width", "320", "--height", "240", "--flush", "-o", "-")
START, END = b"\xff\xd8", b"\xff\xd9"
JFIF = START + b"\xff\xe0\x00\x10JFIF"
RUNNING = "Opening '.*run_000000.mp4' for writing"
CLOCK_STEPPED = "  what():  libav: error writing output: Invalid argument\n"


def read_until(program: Program, wanted: bytes, times: int = 1) -> bytes:
    """What comes from stdout, up to and with the read that brought the wanted bytes for the `times`th time."""
    stream = b""
    while stream.count(wanted) < times:
        piece = program.stdout.read1(65_536)  # type: ignore[attr-defined]  # a BufferedReader, typed as IO
        assert piece, program.stderr
        stream += piece
    return stream


def record(machine: Machine, directory: Path, *more: str, seconds: int = 60, version: str = "1.13.0") -> Program:
    """A recording under way: its first frame is in the muxer."""
    program = machine.start("-n", "-t", "0", *more, *tee(directory, seconds=seconds), version=version)
    program.wait_for(RUNNING)
    return program


@pytest.mark.parametrize("fault", ["no_camera", "busy"])
def test_a_camera_that_cannot_be_had_leaves_the_other_alone(machine: Machine, fault: str) -> None:
    machine.inject({"1": {"fault": fault}})
    code, _, stderr = machine.run("--camera", "1", *MJPEG)
    expected = {
        "no_camera": "ERROR: *** selected camera is not available ***",
        "busy": "ERROR: *** failed to acquire camera /base/axi/pcie@1000120000/rp1/i2c@80000/imx708@1a ***",
    }
    assert (code, stderr.splitlines()[-1]) == (255, expected[fault])
    read_until(machine.start("--camera", "0", *MJPEG, stdout=subprocess.PIPE), END)


def test_without_any_camera_nothing_is_listed_and_nothing_runs(machine: Machine) -> None:
    machine.inject({"*": {"fault": "no_camera"}})
    assert machine.run("--list-cameras")[:2] == (0, "No cameras available!\n")
    assert machine.run(*MJPEG)[2].endswith("ERROR: *** no cameras available ***\n")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "die"}, -signal.SIGKILL),
        ({"fault": "die", "exit": -15}, -signal.SIGTERM),
        ({"fault": "die", "exit": 3}, 3),
        ({"fault": "segv"}, -signal.SIGSEGV),
        ({"fault": "abort", "what": "libav: error writing output: No space left on device"}, -signal.SIGABRT),
    ],
)
def test_it_dies_as_told(machine: Machine, fault: dict[str, object], code: int) -> None:
    machine.inject({"0": fault | {"after_s": 0.1}})
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    stream = program.stdout.read()
    assert program.returncode() == code
    assert jpeg_numbers(stream)[:1] == [1]
    assert str(fault.get("what", "")) in program.stderr


def test_a_device_timeout_repeats_and_only_sigterm_helps(machine: Machine) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    read_until(program, END)
    machine.inject({"0": {"fault": "timeout"}})
    program.wait_for("Dequeue timer of 1000000.00us has expired!")
    program.wait_for("^ERROR: Device timeout detected, attempting a restart!!!$")
    program.process.send_signal(signal.SIGINT)
    program.wait_for("Received signal 2")
    program.wait_for("^ERROR: Device timeout detected", times=2)
    assert program.process.poll() is None
    program.process.send_signal(signal.SIGTERM)
    assert program.returncode() == -signal.SIGTERM


@pytest.mark.parametrize("fault", ["timeout", "freeze"])
def test_when_frames_come_back_a_pending_sigint_is_heard(machine: Machine, fault: str) -> None:
    machine.inject({"0": {"fault": fault, "after_s": 0.1}})
    program = machine.start(*MJPEG, "-v", "1", stdout=subprocess.PIPE)
    read_until(program, END)
    program.process.send_signal(signal.SIGUSR1)
    program.wait_for("Received signal 10")
    program.process.send_signal(signal.SIGINT)
    program.wait_for("Received signal 2")
    machine.inject({})
    program.stdout.read()
    assert program.returncode() == 0


def test_a_camera_that_comes_back_goes_on_in_the_same_file_with_a_hole_in_time(
    machine: Machine, tmp_path: Path
) -> None:
    program = record(machine, tmp_path, "--frames", "20", seconds=60)
    machine.inject({"0": {"fault": "timeout"}})
    program.wait_for("Device timeout detected")
    machine.inject({})
    assert program.returncode() == 0
    (segment,) = tmp_path.glob("run_*.mp4")
    assert frame_numbers(segment) == list(range(1, 21))
    with av.open(str(segment)) as container:
        times_s = sorted(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
    # The camera sits out its timer of a second; frames come at the sensor's beats only, here 30 of 33,333 us each.
    assert max(b - a for a, b in itertools.pairwise(times_s)) > 1 - Fraction(1, 30)


def test_a_deaf_camera_logs_sigint_and_goes_on(machine: Machine) -> None:
    machine.inject({"0": {"fault": "deaf"}})
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    read_until(program, END)
    program.process.send_signal(signal.SIGINT)
    program.wait_for("Received signal 2")
    read_until(program, END, times=5)
    program.process.send_signal(signal.SIGTERM)
    assert program.returncode() == -signal.SIGTERM


def test_half_the_rate_is_twice_the_time_between_frames(machine: Machine, tmp_path: Path) -> None:
    machine.inject({"0": {"fault": "half_rate"}})
    listed = tmp_path / "list.csv"
    arguments = ("-n", "--frames", "10", *tee(tmp_path, listed=str(listed)))
    assert machine.start(*arguments).returncode() == 0
    end_s = float(listed.read_text().split(",")[2])
    assert end_s > 9 * 2 * 0.033


def test_rubbish_comes_until_the_camera_is_mended(machine: Machine) -> None:
    machine.inject({"0": {"fault": "garbage"}})
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    rubbish = read_until(program, START, times=6)
    assert rubbish.startswith(END + START)
    assert JFIF not in rubbish
    machine.inject({})
    read_until(program, JFIF)


def test_a_clock_that_steps_back_kills_a_recording_once(machine: Machine, tmp_path: Path) -> None:
    program = record(machine, tmp_path, seconds=1)
    program.wait_for("run_000001.mp4' for writing")
    machine.inject({"0": {"fault": "clock_step"}})
    assert program.returncode() == -signal.SIGABRT
    assert program.stderr.endswith(CLOCK_STEPPED)
    again = tmp_path / "again"
    again.mkdir()
    assert machine.start("-n", "--frames", "10", *tee(again)).returncode() == 0


@pytest.mark.parametrize("offset_s", [10, 3600])
def test_a_clock_that_steps_ahead_is_survived(machine: Machine, tmp_path: Path, offset_s: int) -> None:
    program = record(machine, tmp_path, "--frames", "45")
    machine.inject({"0": {"clock_offset_s": offset_s}})
    assert program.returncode() == 0
    numbers = [n for segment in sorted(tmp_path.glob("run_*.mp4")) for n in frame_numbers(segment)]
    assert numbers == list(range(1, 46))


def test_a_step_back_by_less_than_a_frame_is_survived(machine: Machine, tmp_path: Path) -> None:
    program = record(machine, tmp_path, "--frames", "30")
    machine.inject({"0": {"clock_offset_s": -0.02}})
    assert program.returncode() == 0


def test_versions_before_1_8_and_mjpeg_do_not_mind_the_clock(machine: Machine, tmp_path: Path) -> None:
    old = record(machine, tmp_path, "--frames", "30", version="1.5.3")
    mjpeg = machine.start("--camera", "1", *MJPEG, stdout=subprocess.PIPE)
    read_until(mjpeg, END)
    machine.inject({"*": {"fault": "clock_step"}})
    assert old.returncode() == 0
    read_until(mjpeg, END, times=20)
    assert mjpeg.process.poll() is None
