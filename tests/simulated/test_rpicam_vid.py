from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import termios
from array import array

import pytest

from tests.simulated.camera_program import Machine, Program, jpeg_numbers

CAMERAS = """\
Available cameras
-----------------
0 : imx708 [4608x2592 10-bit RGGB] (/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.15 fps - (0, 0)/4608x2592 crop]
                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]
                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]

1 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@1000120000/rp1/i2c@80000/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.15 fps - (0, 0)/4608x2592 crop]
                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]
                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]

"""
VERSION = """\
rpicam-apps build: v1.13.0 6fcb0a381071 23-11-2026 (09:44:25)
rpicam-apps capabilites: egl:0 qt:0 drm:0 libav:1
libcamera build: v0.7.1+rpt20260429+dirty (2026-11-23T09:33:51UTC)
"""
MJPEG = ("-n", "-t", "0", "--codec", "mjpeg", "-q", "80", "--width", "320", "--height", "240", "-o", "-")
BUSY = "ERROR: *** failed to acquire camera /base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a ***"


def first_frame(program: Program) -> bytes:
    """Whole JPEGs from stdout, at least one: then the handlers are installed and frames flow."""
    stream = b""
    while b"\xff\xd9" not in stream:
        piece = program.stdout.read1(65_536)  # type: ignore[attr-defined]  # a BufferedReader, typed as IO
        assert piece, program.stderr
        stream += piece
    return stream


def test_the_version_is_told_on_stdout(machine: Machine) -> None:
    assert machine.run("--version") == (0, VERSION, "")


def test_cameras_are_listed_on_stdout_and_none_is_no_error(machine: Machine) -> None:
    assert machine.run("--list-cameras") == (0, CAMERAS, "")
    assert machine.run("--list-cameras", cameras="0") == (0, "No cameras available!\n", "")


def test_the_list_goes_on_while_a_camera_is_busy(machine: Machine) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    first_frame(program)
    assert machine.run("--list-cameras")[1] == CAMERAS


@pytest.mark.parametrize(
    ("arguments", "variables", "last_line"),
    [
        (["--frobnicate"], {}, "ERROR: *** unrecognised option '--frobnicate' ***"),
        (["-b", "1", "-b", "2"], {}, "ERROR: *** option '--bitrate' cannot be specified more than once ***"),
        (["--camera", "7"], {}, "ERROR: *** selected camera is not available ***"),
        ([], {"cameras": "0"}, "ERROR: *** no cameras available ***"),
        (["--low-latency"], {"version": "1.5.3"}, "ERROR: *** unrecognised option '--low-latency' ***"),
        (["--codec", "libav"], {"lite": "1"}, "ERROR: *** Unrecognised codec libav ***"),
        (["--codec", "h264"], {"lite": "1"}, "ERROR: *** Unable to find an appropriate H.264 codec ***"),
        (["--denoise", "much"], {}, "ERROR: *** Invalid denoise mode much ***"),
    ],
)
def test_what_cannot_be_ends_with_255_and_one_line(
    machine: Machine, arguments: list[str], variables: dict[str, str], last_line: str
) -> None:
    code, stdout, stderr = machine.run("-n", *arguments, **variables)
    assert (code, stdout, stderr.splitlines()[-1]) == (255, "", last_line)


def test_one_camera_belongs_to_one_process_until_that_ends(machine: Machine) -> None:
    holder = machine.start(*MJPEG, stdout=subprocess.PIPE)
    first_frame(holder)
    code, _, stderr = machine.run(*MJPEG)
    assert code == 255
    assert "Pipeline handler in use by another process" in stderr
    assert stderr.splitlines()[-1] == BUSY
    other = machine.start("--camera", "1", *MJPEG, stdout=subprocess.PIPE)
    first_frame(other)
    holder.process.kill()
    assert holder.returncode() == -signal.SIGKILL
    first_frame(machine.start(*MJPEG, stdout=subprocess.PIPE))


def test_the_mjpeg_stream_is_whole_jpegs_numbered_without_a_gap(machine: Machine) -> None:
    arguments = ("-n", "-t", "0", "--frames", "20", "--codec", "mjpeg", "-q", "80", "--flush", "-o", "-")
    program = machine.start(*arguments, stdout=subprocess.PIPE)
    stream = program.stdout.read()
    assert program.returncode() == 0
    assert stream.count(b"\xff\xd8") == stream.count(b"\xff\xd9") == 20
    assert stream.startswith(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    assert stream.endswith(b"\xff\xd9")
    assert jpeg_numbers(stream) == list(range(1, 21))


def test_a_timeout_halts_with_a_word_about_it(machine: Machine) -> None:
    code, _, stderr = machine.run("-n", "-t", "100", "--codec", "mjpeg", "-o", "/dev/null")
    assert code == 0
    assert stderr.splitlines()[-1] == "Halting: reached timeout of 100 milliseconds."


def test_sigint_ends_the_stream_after_a_whole_frame(machine: Machine) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    stream = first_frame(program)
    program.process.send_signal(signal.SIGINT)
    stream += program.stdout.read()
    assert program.returncode() == 0
    assert "Received signal 2\n" in program.stderr
    numbers = jpeg_numbers(stream)
    assert numbers == list(range(1, len(numbers) + 1))
    assert stream.endswith(b"\xff\xd9")


def test_sigint_before_the_camera_runs_kills(machine: Machine) -> None:
    program = machine.start(*MJPEG, start_delay_s="600")
    program.wait_until_configured()
    program.process.send_signal(signal.SIGINT)
    assert program.returncode() == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_other_signals_kill_at_once(machine: Machine, number: signal.Signals) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    first_frame(program)
    program.process.send_signal(number)
    assert program.returncode() == -number
    assert "Received signal" not in program.stderr


def test_user_signals_are_only_logged(machine: Machine) -> None:
    program = machine.start(*MJPEG, "--flush", stdout=subprocess.PIPE)
    first_frame(program)
    program.process.send_signal(signal.SIGUSR1)
    program.wait_for("Received signal 10")
    program.process.send_signal(signal.SIGUSR2)
    program.wait_for("Received signal 12")
    first_frame(program)
    assert program.process.poll() is None


def test_with_signal_option_sigusr2_stops(machine: Machine) -> None:
    program = machine.start(*MJPEG, "--signal", stdout=subprocess.PIPE)
    first_frame(program)
    program.process.send_signal(signal.SIGUSR2)
    program.stdout.read()
    assert program.returncode() == 0


def test_a_reader_who_goes_away_aborts_it(machine: Machine) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    first_frame(program)
    program.stdout.close()
    assert program.returncode() == -signal.SIGABRT
    assert "Received signal 13\n" in program.stderr
    assert program.stderr.endswith(
        "terminate called after throwing an instance of 'std::runtime_error'\n  what():  failed to write output bytes\n"
    )


def test_a_reader_who_does_not_read_makes_it_deaf_until_he_does(machine: Machine) -> None:
    program = machine.start(*MJPEG, stdout=subprocess.PIPE)
    capacity = fcntl.fcntl(program.stdout, fcntl.F_SETPIPE_SZ, 4096)
    first_frame(program)
    waiting = array("i", [0])
    while waiting[0] < capacity:  # bounded by the timeout of the test
        fcntl.ioctl(program.stdout, termios.FIONREAD, waiting)
    program.process.send_signal(signal.SIGINT)
    program.wait_for("Received signal 2")
    assert program.process.poll() is None
    program.stdout.read()
    assert program.returncode() == 0


def test_an_unwritable_file_aborts_it_at_the_first_frame(machine: Machine) -> None:
    code, _, stderr = machine.run("-n", "-t", "0", "--codec", "mjpeg", "-o", "/nonexistent/x.mjpeg")
    assert code == -signal.SIGABRT
    assert stderr.endswith("  what():  failed to open output file /nonexistent/x.mjpeg\n")


def test_a_full_disk_aborts_mjpeg(machine: Machine) -> None:
    code, _, stderr = machine.run("-n", "-t", "0", "--codec", "mjpeg", "-o", "/dev/full")
    assert code == -signal.SIGABRT
    assert stderr.endswith("  what():  failed to write output bytes\n")


def test_mjpeg_can_be_cut_into_files(machine: Machine) -> None:
    pattern = machine.control.with_name("cut%03d.mjpeg")
    arguments = ("-n", "--frames", "12", "--framerate", "20", "--codec", "mjpeg", "--segment", "220")
    code, _, _ = machine.run(*arguments, "-o", str(pattern))
    files = sorted(pattern.parent.glob("cut*.mjpeg"))
    assert code == 0
    assert len(files) > 1
    assert [n for file in files for n in jpeg_numbers(file.read_bytes())] == list(range(1, 13))


def test_quiet_and_libcamera_levels_hide_what_they_hide_in_the_real_program(machine: Machine) -> None:
    arguments = ("-n", "--frames", "2", "--codec", "mjpeg", "-o", "/dev/null")
    assert machine.run(*arguments, "-v", "0")[2] == ""
    assert "libcamera v" in machine.run(*arguments)[2]


def test_it_says_what_is_wrong_with_the_simulation_itself(machine: Machine) -> None:
    machine.inject({"0": {"fault": "explode"}})
    code, _, stderr = machine.run(*MJPEG)
    assert (code, stderr.splitlines()[-1]) == (70, "simulated rpicam-vid: control file: unknown fault 'explode'")


def test_it_says_where_it_cannot_lock(machine: Machine) -> None:
    machine.control.with_name("file").touch()
    code, _, stderr = machine.run(*MJPEG, lock_dir=str(machine.control.with_name("file") / "locks"))
    assert code == 70
    assert "EDGE_AGENT_SIM_LOCK_DIR: " in stderr


@pytest.mark.parametrize("option", ["--version", "--list-cameras"])
def test_libav_is_not_loaded_for_what_needs_no_picture(option: str) -> None:
    call = f"from edge_agent.simulated.rpicam_vid import main; main([{option!r}])"
    script = f"import sys; {call}; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, stdout=subprocess.DEVNULL).returncode == 0
