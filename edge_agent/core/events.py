"""What can happen to the agent: the closed set of values that `Agent.handle` takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge_agent.core.commands import Command
from edge_agent.core.model import Code, Now, Profile, RunRecord, Segment, Session


class Cause(StrEnum):
    """Why a run of the camera program is over, as told by its exit status and last words."""

    STOPPED = "stopped"
    CAMERA_MISSING = "camera_missing"
    CAMERA_BUSY = "camera_busy"
    CODEC_MISSING = "codec_missing"
    BAD_OPTION = "bad_option"
    LEGACY_STACK = "legacy_stack"
    SPAWN_FAILED = "spawn_failed"
    DISK_FULL = "disk_full"
    OUTPUT_FAILED = "output_failed"
    CLOCK_STEP = "clock_step"
    NO_FRAMES = "no_frames"
    CRASHED = "crashed"
    KILLED = "killed"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Booted:
    """The first event: what the agent finds at its start.

    `adopted` are runs whose process still lives. `session` is the recording that was on when the last agent went, if
    any, its `started` rebased to this boot's monotonic clock. `autostart` asks for a recording where none is found.
    """

    adopted: tuple[RunRecord, ...] = ()
    session: Session | None = None
    autostart: bool = False


@dataclass(frozen=True, slots=True)
class CommandReceived:
    command: Command


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """A run's first segment file or first picture is there; `at` dates its footage."""

    camera: str
    run_id: str
    at: Now


@dataclass(frozen=True, slots=True)
class BytesSeen:
    """The camera's bytes reached the disk (or, live, the agent) since the last look: the evidence for `running`."""

    camera: str
    run_id: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The process has gone and was reaped, or could not be spawned. `message` says what happened and what to do."""

    camera: str
    run_id: str
    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class RunClosed:
    """Everything the run recorded is stored under its dated name; follows `RunEnded`."""

    run_id: str


@dataclass(frozen=True, slots=True)
class SegmentOpened:
    """The recorder began to write another segment, which will be stored under `path` unless that name is taken."""

    camera: str
    run_id: str
    path: str


@dataclass(frozen=True, slots=True)
class SegmentStored:
    segment: Segment


@dataclass(frozen=True, slots=True)
class FootageVerified:
    """Up to `until` this camera's footage is written, synced and playable."""

    camera: str
    run_id: str
    until: datetime


@dataclass(frozen=True, slots=True)
class LiveWanted:
    """Somebody watches this camera, or nobody has for the linger time."""

    camera: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class LiveProfileChosen:
    """From now on live view has this picture; running live programs are started anew, viewers stay."""

    profile: Profile


@dataclass(frozen=True, slots=True)
class CamerasFound:
    """Which configured cameras the camera program lists; a missing one has its reason."""

    missing: dict[str, str]


@dataclass(frozen=True, slots=True)
class StorageChanged:
    """Whether footage can be stored: None, or why not.

    `disk_full`, `read_only`, `volume_missing`, `volume_in_use` or `disk_error`.
    """

    problem: str | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class StorageStalled:
    """The disk does not answer for now, for the reason in `message`, or (None) does again.

    What recorders write waits in their memory meanwhile, so that silence of a recording says nothing about its camera.
    `code` is the problem's: `agent_exhausted` where it is the agent that cannot look.
    """

    message: str | None
    code: str = "disk_stalled"


@dataclass(frozen=True, slots=True)
class FrameRate:
    """How many frames a second a run delivered over the last while."""

    camera: str
    run_id: str
    fps: float


@dataclass(frozen=True, slots=True)
class ProblemChanged:
    """A room's trouble came, changed or went (`message` None). It is listed in the status and decides nothing."""

    code: str
    message: str | None


@dataclass(frozen=True, slots=True)
class ClockStepped:
    """The wall clock jumped by `step_s` against the monotonic one."""

    step_s: float


@dataclass(frozen=True, slots=True)
class JobDone:
    """The outside work of a command (snapshot, lock, clip ...) is over."""

    command_id: str
    code: Code
    message: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The instant that `Agent.next_deadline` named is here."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The agent is about to leave: recordings are finished, and remembered so that the next start goes on with them."""


Event = (
    Booted
    | CommandReceived
    | FirstFrame
    | BytesSeen
    | RunEnded
    | RunClosed
    | SegmentOpened
    | SegmentStored
    | FootageVerified
    | LiveWanted
    | LiveProfileChosen
    | CamerasFound
    | StorageChanged
    | StorageStalled
    | FrameRate
    | ProblemChanged
    | ClockStepped
    | JobDone
    | DeadlinePassed
    | StopRequested
)
