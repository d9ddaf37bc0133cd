"""The nouns that every room shares: instants, cameras, profiles, modes, runs, segments, states and codes.

Only frozen values belong here: nothing reads a clock, a file or the environment, and nothing decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,31}"
"""What a device, group, camera or mode may be called: safe in topics, paths, argv, printf and tee strings alike."""
RESERVED_NAMES = frozenset({"all", "cmd"})
LABEL_PATTERN = r"[A-Za-z0-9 ._-]{1,64}"
MAX_DURATION_S = 7 * 24 * 3600

_NAME = re.compile(NAME_PATTERN)
_LABEL = re.compile(LABEL_PATTERN)


def is_name(text: str) -> bool:
    """Whether `text` may name a device, group, camera or mode."""
    return _NAME.fullmatch(text) is not None and text not in RESERVED_NAMES


def is_label(text: str) -> bool:
    """Whether `text` may label footage."""
    return _LABEL.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Now:
    """One instant read on both clocks: `mono_s` for durations and deadlines, `wall` (aware, UTC) for labels."""

    mono_s: float
    wall: datetime


class Purpose(StrEnum):
    """What a run of the camera program is for."""

    RECORD = "record"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Profile:
    """The picture that a camera is asked for.

    `bitrate_bps` counts for recordings only, `quality` (libjpeg, 1 to 100) for live view only.
    """

    width: int
    height: int
    fps: int
    bitrate_bps: int = 0
    quality: int = 80

    @property
    def folder(self) -> str:
        """The archive's folder of this size, such as `640x480`."""
        return f"{self.width}x{self.height}"

    @property
    def short(self) -> str:
        """The size as it stands in file names and mode names: `640`, `720p`, `1080p`, else `800x600`."""
        return _SHORT.get((self.width, self.height), self.folder)


_SHORT = {(640, 480): "640", (1280, 720): "720p", (1920, 1080): "1080p"}
RESOLUTIONS: dict[str, tuple[int, int]] = {short: size for size, short in _SHORT.items()}
"""The resolutions that a `start` command may name, with width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as configured. `sensor` binds by sensor path or model where given, else `index` counts."""

    id: str
    index: int
    name: str
    hflip: bool = False
    vflip: bool = False
    rotation: int = 0
    sensor: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a mode: one profile for `length_s` seconds, or until stopped when None."""

    profile: Profile
    length_s: float | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """What `start` can be asked for.

    A mode runs its `steps` one after another on all its `cameras`, then the device is idle. `comparison` asks for one
    side-by-side picture of what was recorded.
    """

    name: str
    cameras: tuple[str, ...]
    purpose: Purpose
    steps: tuple[Step, ...]
    comparison: bool = False

    @property
    def timed(self) -> bool:
        """Whether the mode ends by itself, so that a duration does not apply."""
        return self.steps[-1].length_s is not None


@dataclass(frozen=True, slots=True)
class Run:
    """One life of the camera program: what it was started for.

    `sequence` grows with every run of this device and orders footage whatever the wall clock says.
    `run_id` is unique, sorts like `sequence` and is safe in file names.
    """

    run_id: str
    sequence: int
    camera: str
    purpose: Purpose
    profile: Profile
    mode: str


@dataclass(frozen=True, slots=True)
class Session:
    """One recording as the user sees it: from `start` to `stop`, over any number of runs, restarts and mode switches.

    `started` is None until the first camera delivered; `duration_s` counts from there, 0 means until stopped. `step`
    is the index into the mode's steps.
    """

    id: str
    mode: str
    cameras: tuple[str, ...]
    step: int
    duration_s: float
    label: str | None
    started: Now | None = None


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that a later agent can recognise: pids are reused, the start tick within one boot is not.

    `start_ticks` is field 22 of /proc/{pid}/stat.
    """

    pid: int
    start_ticks: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run's `run.json` says: enough for the next agent to adopt the recorder or to recover its footage.

    `process` is None until the program was spawned, `first_frame` until its first segment file appeared.
    """

    run: Run
    session: Session
    argv: tuple[str, ...]
    spawned: Now
    process: ProcessIdentity | None = None
    first_frame: Now | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored segment as the rest of the house sees it.

    `path` is relative to the archive's root. `sequence` and `index` (of the run, and within it) give the order.
    `lock_labels` are the labels it is locked under, oldest first (one may be empty); retention may delete it without.
    `uploaded` footage has been sent elsewhere, whole.
    """

    path: str
    camera: str
    mode: str
    run_id: str
    sequence: int
    index: int
    started_at: datetime
    duration_s: float
    size_bytes: int
    width: int
    height: int
    label: str | None
    lock_labels: tuple[str, ...]
    uploaded: bool = False

    @property
    def locked(self) -> bool:
        """Whether retention has to leave this segment alone."""
        return bool(self.lock_labels)


class DeviceState(StrEnum):
    IDLE = "idle"
    STARTING = "starting"
    RECORDING = "recording"
    STREAMING = "streaming"
    STOPPING = "stopping"
    FAULT = "fault"


class CameraState(StrEnum):
    """supervisord's words; `running` needs bytes from the camera, not a pid."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FATAL = "fatal"


class ResultStatus(StrEnum):
    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"


class Code(StrEnum):
    """Why a command ended as it did; the same word over MQTT and HTTP."""

    OK = "ok"
    ALREADY_RECORDING = "already_recording"
    RETAINED = "retained"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_VERB = "unknown_verb"
    UNKNOWN_MODE = "unknown_mode"
    UNKNOWN_CAMERA = "unknown_camera"
    OUT_OF_RANGE = "out_of_range"
    RATE_LIMITED = "rate_limited"
    CAMERA_MISSING = "camera_missing"
    CAMERA_BUSY = "camera_busy"
    NO_FRAMES = "no_frames"
    DISK_FULL = "disk_full"
    READ_ONLY = "read_only"
    LOCK_QUOTA = "lock_quota"
    NOT_FOUND = "not_found"
    PARTIAL = "partial"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    FORBIDDEN = "forbidden"
    INTERNAL = "internal"


class EventType(StrEnum):
    AGENT_STARTED = "agent_started"
    RECORDING_STARTED = "recording_started"
    RECORDING_STOPPED = "recording_stopped"
    SEGMENT_STORED = "segment_stored"
    SEGMENT_DELETED = "segment_deleted"
    SEGMENT_LOCKED = "segment_locked"
    SNAPSHOT_TAKEN = "snapshot_taken"
    CLIP_READY = "clip_ready"
    FOOTAGE_UPLOADED = "footage_uploaded"
    CAMERA_FAULT = "camera_fault"
    CAMERA_RECOVERED = "camera_recovered"
    STORAGE_LOW = "storage_low"
    STORAGE_FULL = "storage_full"
    COMMAND_REFUSED = "command_refused"
    CLOCK_STEPPED = "clock_stepped"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person should know and can act on; `code` is one stable word, `message` says what to do."""

    code: str
    message: str
    since: datetime
