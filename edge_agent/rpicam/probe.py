"""What the installed camera program is and can do, which cameras it lists, and which of them are meant.

`--version` and `--list-cameras` answer on stdout in under 0.3 s and disturb no recording that is running.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_agent.core.model import Camera

SIMULATED = "simulated"
"""The program name that stands for test pictures instead of cameras."""
SIMULATED_PROGRAM = (sys.executable, "-m", "edge_agent.simulated.rpicam_vid")
PROGRAM_NAMES = ("rpicam-vid", "libcamera-vid")
"""The program under its name of today and its name before 1.4.0; the first that is installed is taken."""
MODEL_PATH = Path("/proc/device-tree/model")
PROBE_TIMEOUT_S = 5.0
"""Patience with one question; a healthy program takes 0.3 s, a Pi that is still booting several times that."""

INSTALL = "sudo apt install rpicam-apps"
UPGRADE = "sudo apt update && sudo apt full-upgrade"
_TEE_SINCE = (1, 4, 1)  # first with --libav-video-codec-opts, without which there is no recording to segments
_CAPABILITIES_SINCE = (1, 5, 3)  # first whose --version tells whether libav is there
_VERSION = re.compile(r"^(?:rpicam|libcamera)-apps build:\s*v?(\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)
_LIBAV = re.compile(r"^rpicam-apps capabili\w+:.*\blibav:([01])", re.MULTILINE)  # the program spells it "capabilites"
_CAMERA = re.compile(r"^\s*(\d+) : (\S+) \[(\d+)x(\d+).*\] \((.*)\)$", re.MULTILINE)
# Up to the Pi 4 the VideoCore has an H.264 encoder; the Pi 5, 500 and Compute Module 5 have none.
_ENCODER_MODELS = re.compile(r"Raspberry Pi (?:Model|Zero|[234]|400|Compute Module (?:Rev|[34]S?))\b")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the program on this machine is. `program` is the start of every argv, without options.

    `version` is (0, 0, 0) when the program did not tell. `has_libav` is True for versions too old to tell.
    """

    program: tuple[str, ...]
    version: tuple[int, int, int]
    version_text: str
    has_libav: bool
    hardware_encoder: bool
    simulated: bool = False

    @property
    def recording_problem(self) -> str | None:
        """Why this program can show live pictures only, and what to do about it; None when it can record."""
        if self.version < _TEE_SINCE:
            return f"{self.program[0]} {self.version_text} is too old to record, 1.4.1 is the first that can: {UPGRADE}"
        if not self.has_libav:
            return f"{self.program[0]} {self.version_text} has no video encoder (the lite package): {INSTALL}"
        return None


class ProbeReason(StrEnum):
    NOT_FOUND = "not_found"
    NOT_EXECUTABLE = "not_executable"
    TIMEOUT = "timeout"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """The program gave no usable answer. `message` names the command and says what to do."""

    reason: ProbeReason
    message: str


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """One line of `--list-cameras`. `path` is the sensor's place in the device tree; its head varies by kernel."""

    index: int
    model: str
    width: int
    height: int
    path: str


@dataclass(frozen=True, slots=True)
class Binding:
    """Which camera of the program each configured camera is: `indexes` by camera id, `missing` with the reason."""

    indexes: dict[str, int]
    missing: dict[str, str]


async def probe(
    command: str,
    *,
    environ: Mapping[str, str],
    model_path: Path = MODEL_PATH,
    timeout_s: float = PROBE_TIMEOUT_S,
) -> Abilities | ProbeFailed:
    """What `command` is: `simulated`, a path, or a name on the PATH (`rpicam-vid` also finds `libcamera-vid`).

    `environ` is the environment to search and to run in, as `argv.environment` makes it. `model_path` tells the Pi's
    model; a machine without that file has no hardware encoder.
    """
    program = _find(command, environ)
    if isinstance(program, ProbeFailed):
        return program
    answer = await _ask(program, "--version", environ, timeout_s)
    if isinstance(answer, ProbeFailed):
        return answer
    version = parse_version(answer)
    simulated = program == SIMULATED_PROGRAM
    return Abilities(
        program=program,
        version=version or (0, 0, 0),
        version_text=".".join(map(str, version)) if version else "of unknown version",
        has_libav=parse_libav(answer, version or (0, 0, 0)),
        hardware_encoder=not simulated and has_hardware_encoder(_read_model(model_path)),
        simulated=simulated,
    )


async def list_cameras(
    abilities: Abilities, *, environ: Mapping[str, str], timeout_s: float = PROBE_TIMEOUT_S
) -> tuple[CameraInfo, ...] | ProbeFailed:
    """The cameras that are plugged in now, in the program's order. Busy ones are listed too; none is an empty tuple."""
    answer = await _ask(abilities.program, "--list-cameras", environ, timeout_s)
    return answer if isinstance(answer, ProbeFailed) else parse_cameras(answer)


def parse_version(text: str) -> tuple[int, int, int] | None:
    """The version in the answer to `--version`; None for a build that names a commit only."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def parse_libav(text: str, version: tuple[int, int, int]) -> bool:
    """Whether the answer to `--version` says that libav is there. Before 1.5.3 none says so, and all had it."""
    found = _LIBAV.search(text)
    return found[1] == "1" if found else version < _CAPABILITIES_SINCE


def parse_cameras(text: str) -> tuple[CameraInfo, ...]:
    """The cameras in the answer to `--list-cameras`. The lines between, with modes and frame rates, vary too much."""
    return tuple(CameraInfo(int(i), model, int(w), int(h), path) for i, model, w, h, path in _CAMERA.findall(text))


def has_hardware_encoder(model: str) -> bool:
    """Whether a Raspberry Pi of this `model` (as the device tree names it) encodes H.264 in hardware."""
    return _ENCODER_MODELS.match(model) is not None


def bind(cameras: Sequence[Camera], infos: Sequence[CameraInfo]) -> Binding:
    """Find every configured camera among those that the program lists.

    A `sensor` outranks an index, because indexes may swap between boots. It matches a model or path as a whole, else a
    component of the path (`i2c@88000`), else a part of either; more than one match at the first of these is no match.
    No listed camera is given to two configured ones.
    """
    indexes: dict[str, int] = {}
    missing: dict[str, str] = {}
    listed = ", ".join(f"{info.index}: {info.model} ({info.path})" for info in infos) or "none"
    for camera in sorted(cameras, key=lambda camera: camera.sensor is None):
        if camera.sensor is None:
            candidates = [info.index for info in infos if info.index == camera.index]
            wanted = f"index {camera.index}"
        else:
            candidates = _sensor_matches(camera.sensor, infos)
            wanted = f"sensor {camera.sensor!r}"
        holder = next((name for name, index in indexes.items() if index in candidates), None)
        if not candidates:
            missing[camera.id] = f"no camera has {wanted}; check its cable. Found: {listed}"
        elif len(candidates) > 1:
            missing[camera.id] = f"{wanted} fits more than one camera, use a part of the path. Found: {listed}"
        elif holder is not None:
            missing[camera.id] = f"{wanted} is already {holder}; check `cameras` in the configuration. Found: {listed}"
        else:
            indexes[camera.id] = candidates[0]
    return Binding(indexes, missing)


def _sensor_matches(sensor: str, infos: Sequence[CameraInfo]) -> list[int]:
    whole = [info.index for info in infos if sensor in (info.model, info.path)]
    component = [info.index for info in infos if sensor in info.path.split("/")]
    part = [info.index for info in infos if sensor in info.model or sensor in info.path]
    return whole or component or part


def _find(command: str, environ: Mapping[str, str]) -> tuple[str, ...] | ProbeFailed:
    if command == SIMULATED:
        return SIMULATED_PROGRAM
    names = PROGRAM_NAMES if command == PROGRAM_NAMES[0] else (command,)
    path = environ.get("PATH", os.defpath)
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return (found,)
    if "/" in command and os.path.exists(command):  # noqa: PTH110 - no error for a path that is too long
        return ProbeFailed(ProbeReason.NOT_EXECUTABLE, f"{command} is no program that may be executed: chmod +x it")
    return ProbeFailed(ProbeReason.NOT_FOUND, f"{' and '.join(names)} not found: {INSTALL}, or set rpicam.command")


async def _ask(
    program: tuple[str, ...], question: str, environ: Mapping[str, str], timeout_s: float
) -> str | ProbeFailed:
    """Run `program question` in a thread and return its stdout. When cancelled the thread ends by its own timeout."""
    return await asyncio.to_thread(_run, (*program, question), dict(environ), timeout_s)


def _run(argv: tuple[str, ...], environ: dict[str, str], timeout_s: float) -> str | ProbeFailed:
    shown = " ".join(argv)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=environ, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return ProbeFailed(ProbeReason.TIMEOUT, f"`{shown}` gave no answer in {timeout_s:g} s: try it by hand")
    except OSError as error:
        return ProbeFailed(ProbeReason.NOT_EXECUTABLE, f"`{shown}` could not be started: {error.strerror}")
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1][:200] if lines else "no message"
        return ProbeFailed(ProbeReason.FAILED, f"`{shown}` failed with exit code {done.returncode}: {last}")
    return done.stdout.decode(errors="replace")


def _read_model(path: Path) -> str:
    try:
        return path.read_bytes().rstrip(b"\0\n").decode(errors="replace")
    except OSError:
        return ""
