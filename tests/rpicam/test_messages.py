from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.events import Cause
from edge_agent.rpicam.messages import TIMEOUT_WINDOW_S, TIMEOUTS_MEAN_FAULT, TimeoutWatch, explain

SAMPLES = Path(__file__).parent / "samples"
TIMEOUT = b"ERROR: Device timeout detected, attempting a restart!!!\n"


def sample(name: str) -> list[str]:
    return (SAMPLES / f"{name}.stderr").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "returncode", "cause", "says"),
    [
        ("no-cameras", 255, Cause.CAMERA_MISSING, "ribbon cable"),
        ("camera-index-7", 255, Cause.CAMERA_MISSING, "`cameras`"),
        ("camera-busy", 255, Cause.CAMERA_BUSY, "Another program"),
        ("bad-option", 255, Cause.BAD_OPTION, "(unrecognised option '--frobnicate')"),
        ("segment-refused-mp4", 255, Cause.BAD_OPTION, "(libav: Incompatible options selected.)"),
        ("enospc-tee-delaymoov-abort", -6, Cause.DISK_FULL, "free space"),
        ("enospc-mjpeg", -6, Cause.OUTPUT_FAILED, "(failed to write output bytes)"),
        ("stdout-reader-gone", -6, Cause.OUTPUT_FAILED, "(failed to write output bytes)"),
        ("unwritable-mjpeg", 134, Cause.OUTPUT_FAILED, "/nonexist/x.mjpeg"),
        ("unwritable-mp4", 134, Cause.OUTPUT_FAILED, "/nonexist/x.mp4: No such file or directory"),
        ("v1.8.1-tee-bracket-first-abort", 134, Cause.OUTPUT_FAILED, "unable to open output mux"),
        ("device-timeout", -9, Cause.NO_FRAMES, "delivers no frames"),
        ("sigint", 0, Cause.ENDED, "without a fault"),
        ("mjpeg-stdout", 0, Cause.ENDED, "without a fault"),
        ("sigterm", -15, Cause.KILLED, "SIGTERM"),
        ("sigterm", 143, Cause.KILLED, "SIGTERM"),
    ],
)
def test_what_the_real_program_said_is_understood(name: str, returncode: int, cause: Cause, says: str) -> None:
    explanation = explain(returncode, sample(name))
    assert explanation.cause is cause
    assert says in explanation.sentence


@pytest.mark.parametrize(
    ("lines", "returncode", "cause", "says"),
    [
        (["ERROR: *** Unrecognised codec libav ***"], 255, Cause.CODEC_MISSING, "sudo apt install rpicam-apps"),
        (
            ["ERROR: *** Unable to find an appropriate H.264 codec ***"],
            255,
            Cause.CODEC_MISSING,
            "rpicam-apps-encoder",
        ),
        (
            ["ERROR: *** option '--bitrate' cannot be specified more than once ***"],
            255,
            Cause.BAD_OPTION,
            "(option '--bitrate' cannot be specified more than once)",
        ),
        (
            ["ERROR: *** the argument ('x') for option '--width' is invalid ***"],
            255,
            Cause.BAD_OPTION,
            "--width",
        ),
        (
            ["ERROR: the system appears to be configured for the legacy camera stack"],
            255,
            Cause.LEGACY_STACK,
            "raspi-config",
        ),
        (["ERROR: *** camera manager failed to start, code 19 ***"], 255, Cause.CAMERA_MISSING, "code 19"),
        (["  what():  libav: error writing output: No space left on device"], -6, Cause.DISK_FULL, "full"),
        (["  what():  libav: error writing output: Input/output error"], -6, Cause.OUTPUT_FAILED, "Input/output error"),
        (["  what():  libav: error writing output: Invalid argument"], 134, Cause.CLOCK_STEP, "set back"),
        (["  what():  libav: error writing output: Invalid argument"], -6, Cause.CLOCK_STEP, "set back"),
        (["  what():  libav: error writing output: Invalid argument"], None, Cause.CLOCK_STEP, "set back"),
        (["  what():  libav: error writing output: Invalid argument"], 255, Cause.OUTPUT_FAILED, "Invalid argument"),
        ([], -11, Cause.CRASHED, "a full disk can do this"),
        ([], 139, Cause.CRASHED, "SIGSEGV"),
        (["  what():  something new"], -6, Cause.CRASHED, "(SIGABRT): something new"),
        ([], -9, Cause.KILLED, "memory ran out"),
        ([], 130, Cause.KILLED, "SIGINT"),
        ([], None, Cause.UNKNOWN, "it said nothing"),
        (["ERROR: *** something new ***"], 255, Cause.UNKNOWN, "exit code 255: something new."),
        ([], 1, Cause.UNKNOWN, "exit code 1"),
    ],
)
def test_what_the_program_is_known_to_say_is_understood(
    lines: list[str], returncode: int | None, cause: Cause, says: str
) -> None:
    explanation = explain(returncode, lines)
    assert explanation.cause is cause
    assert says in explanation.sentence


def test_a_timeout_that_passed_does_not_hide_what_came_later() -> None:
    lines = ["ERROR: Device timeout detected, attempting a restart!!!"] * 3
    assert explain(134, [*lines, "  what():  libav: error writing output: No space left on device"]).cause is (
        Cause.DISK_FULL
    )


def test_two_timeouts_are_no_fault_of_the_camera() -> None:
    assert explain(-9, ["ERROR: Device timeout detected, attempting a restart!!!"] * 2).cause is Cause.KILLED


@given(st.none() | st.integers(-300, 300), st.lists(st.text(max_size=400), max_size=5))
def test_whatever_the_program_says_the_sentence_is_one_short_line(returncode: int | None, lines: list[str]) -> None:
    sentence = explain(returncode, [part for line in lines for part in line.splitlines()]).sentence
    assert sentence.endswith((".", ")"))
    assert len(sentence) < 400
    assert len(sentence.splitlines()) == 1


@given(st.lists(st.integers(0, 20), max_size=8))
def test_the_timeout_loop_is_recognised_however_stderr_is_cut(cuts: list[int]) -> None:
    data = (SAMPLES / "device-timeout.stderr").read_bytes()
    points = sorted({min(len(data), cut * len(data) // 20) for cut in cuts} | {0, len(data)})
    watch = TimeoutWatch()
    answers = [watch.feed(data[start:end], 0.0) for start, end in pairwise(points)]
    assert answers[-1]
    assert answers == sorted(answers)


def test_the_timeout_loop_needs_several_timeouts_in_a_row() -> None:
    watch = TimeoutWatch()
    answers = [watch.feed(TIMEOUT, mono_s) for mono_s in range(TIMEOUTS_MEAN_FAULT)]
    assert answers == [False] * (TIMEOUTS_MEAN_FAULT - 1) + [True]


def test_single_timeouts_far_apart_are_forgiven() -> None:
    watch = TimeoutWatch()
    assert not any(watch.feed(TIMEOUT, mono_s * TIMEOUT_WINDOW_S) for mono_s in range(100))


def test_the_timeout_loop_is_over_when_time_passes_without_timeouts() -> None:
    watch = TimeoutWatch()
    assert watch.feed(TIMEOUT * 3, 100.0)
    assert watch.feed(b"", 100.0 + TIMEOUT_WINDOW_S)
    assert not watch.feed(b"", 101.0 + TIMEOUT_WINDOW_S)
