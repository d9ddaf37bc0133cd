"""Why the camera program ended: its exit code and last lines, in words that say what to do. Pure.

Exit code 255 is trouble at the start (camera, options, configuration) with one `ERROR: *** ... ***` line, SIGABRT is an
error while running with a `what():` line, SIGSEGV is libavformat stumbling over a full disk.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from signal import Signals
from typing import NamedTuple

from edge_agent.core.events import Cause

TIMEOUT_LINE = "Device timeout detected"
TIMEOUTS_MEAN_FAULT = 3
"""Device timeouts in a row after which no more frames are to be expected: the program repeats them for ever."""
TIMEOUT_WINDOW_S = 15.0
"""Device timeouts come every second, or every five frames where that is longer; in a row means within this time."""
_LINE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a run ended. `sentence` is for people: what happened and what to do about it."""

    cause: Cause
    sentence: str


class _Rule(NamedTuple):
    """A line of stderr that tells the cause. `{line}` in the sentence stands for that line without its decoration."""

    pattern: re.Pattern[str]
    cause: Cause
    sentence: str


def _rule(pattern: str, cause: Cause, sentence: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), cause, sentence)


_CLOCK_STEP = re.compile(r"error writing output: Invalid argument")
_RULES = (
    _rule(
        r"no cameras available",
        Cause.CAMERA_MISSING,
        "No camera was found: check the ribbon cables with the power off, then `rpicam-vid --list-cameras`.",
    ),
    _rule(
        r"selected camera is not available",
        Cause.CAMERA_MISSING,
        "This camera is not there: check its ribbon cable with the power off, and `cameras` in the configuration.",
    ),
    _rule(
        r"camera manager failed to start",
        Cause.CAMERA_MISSING,
        "The camera system did not start ({line}): check /boot/firmware/config.txt and the cables, then reboot.",
    ),
    _rule(
        r"failed to acquire camera|in use by another process",
        Cause.CAMERA_BUSY,
        "Another program holds this camera: find it with `fuser -v /dev/media*` and end it.",
    ),
    _rule(
        r"unrecogni[sz]ed codec|unable to find an appropriate H\.264 codec",
        Cause.CODEC_MISSING,
        "This camera program has no video encoder: `sudo apt install rpicam-apps`, or rpicam-apps-encoder on its own.",
    ),
    _rule(
        r"configured for the legacy camera stack",
        Cause.LEGACY_STACK,
        "The legacy camera stack is switched on: turn it off in `sudo raspi-config`, Interface Options, and reboot.",
    ),
    _rule(
        r"unrecogni[sz]ed (option|line)|cannot be specified more than once|the (required )?argument .*for option|"
        r"is ambiguous|too many positional|Incompatible options|cannot allocate output context|"
        r"unable to open video codec",
        Cause.BAD_OPTION,
        "The camera program refused its options ({line}): check `rpicam.extra_args` and the camera's settings.",
    ),
    _rule(
        r"No space left on device|Disk quota exceeded",
        Cause.DISK_FULL,
        "The disk is full: free space on the volume of the recordings.",
    ),
    _rule(
        r"unable to open output mux|failed to open output file|failed to write output bytes|error writing output:",
        Cause.OUTPUT_FAILED,
        "The camera program could not write ({line}): check that the volume of the recordings is there and writable.",
    ),
)
_ASKED_TO_END = frozenset({Signals.SIGHUP, Signals.SIGINT, Signals.SIGQUIT, Signals.SIGKILL, Signals.SIGTERM})
_FAULT_LINE = re.compile(r"ERROR|what\(\):|failed|error", re.IGNORECASE)
_DECORATION = re.compile(r"^(\s*what\(\):|ERROR:)\s*(\*\*\*)?\s*|\s*\*\*\*\s*$")


def explain(returncode: int | None, stderr_tail: Sequence[str]) -> Explanation:
    """Why the program ended, from its exit code and its last lines, oldest first.

    `returncode` is Python's or the shell's (-6 and 134 alike), None where only the lines are known: the program still
    runs, or was started by an earlier agent. Whether somebody wanted the end is not known here.
    """
    signal = _signal(returncode)
    aborted = returncode is None or signal is Signals.SIGABRT
    for line in reversed(stderr_tail):
        if aborted and _CLOCK_STEP.search(line):
            return Explanation(Cause.CLOCK_STEP, "The wall clock was set back, and this camera program ends by that.")
        for rule in _RULES:
            if rule.pattern.search(line):
                return Explanation(rule.cause, rule.sentence.format(line=_plain(line)))
    if sum(TIMEOUT_LINE in line for line in stderr_tail) >= TIMEOUTS_MEAN_FAULT:
        return Explanation(
            Cause.NO_FRAMES,
            "The camera delivers no frames: check its ribbon cable with the power off, or swap it.",
        )
    return _by_code(returncode, signal, stderr_tail)


class TimeoutWatch:
    """Recognises that the program is caught in its loop of device timeouts, in which it is deaf to SIGINT.

    Single timeouts happen and pass, so that it is their number in `TIMEOUT_WINDOW_S` that counts.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._seen: deque[float] = deque(maxlen=TIMEOUTS_MEAN_FAULT)

    def feed(self, chunk: bytes, mono_s: float) -> bool:
        """Add bytes that stderr grew by, read at the monotonic instant `mono_s`; True while the loop goes on.

        Chunk borders carry no meaning. An empty chunk only lets time pass.
        """
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-4096:]
        self._seen.extend(mono_s for line in lines if TIMEOUT_LINE.encode() in line)
        return len(self._seen) == TIMEOUTS_MEAN_FAULT and mono_s - self._seen[0] <= TIMEOUT_WINDOW_S


def _by_code(returncode: int | None, signal: Signals | None, stderr_tail: Sequence[str]) -> Explanation:
    if returncode == 0:
        return Explanation(Cause.ENDED, "The camera program ended by itself without a fault.")
    if signal is Signals.SIGSEGV:
        return Explanation(
            Cause.CRASHED, "The camera program crashed (SIGSEGV); a full disk can do this: check its space."
        )
    if signal in _ASKED_TO_END:
        hint = "; if nobody did, memory ran out: see `dmesg`" if signal is Signals.SIGKILL else ""
        return Explanation(Cause.KILLED, f"The camera program was ended from outside ({signal.name}{hint}).")
    last = next((_plain(line) for line in reversed(stderr_tail) if _FAULT_LINE.search(line)), "it said nothing")
    if signal is not None:
        return Explanation(Cause.CRASHED, f"The camera program crashed ({signal.name}): {last}.")
    if returncode is None:
        return Explanation(Cause.UNKNOWN, f"How the camera program ended is not known: {last}.")
    return Explanation(Cause.UNKNOWN, f"The camera program failed with exit code {returncode}: {last}.")


def _signal(returncode: int | None) -> Signals | None:
    """The signal that ended the program, from Python's negative number or the shell's 128 + n; None if none did."""
    if returncode is None:
        return None
    number = -returncode if returncode < 0 else returncode - 128
    return Signals(number) if number in set(Signals) else None


def _plain(line: str) -> str:
    """`line` without the program's stars and prefixes, short enough for a message."""
    return _DECORATION.sub("", line).strip()[:_LINE_CHARACTERS]
