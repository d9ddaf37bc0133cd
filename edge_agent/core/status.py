"""What the agent says of itself: a snapshot of the whole state, newest wins. `wire` turns it into JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edge_agent.core.commands import Result
from edge_agent.core.model import CameraState, DeviceState, Problem, Purpose


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera. Size and rate are None while no process has it.

    `segment` is the path, relative to the archive, of the segment being written. `restarts` counts unasked ends of the
    camera program since the session began; `error` is the last one's message until the camera runs again.
    """

    state: CameraState
    recording: bool
    width: int | None
    height: int | None
    fps: int | None
    segment: str | None
    verified_until: datetime | None
    restarts: int
    error: str | None
    purpose: Purpose | None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """The device. `mode`, `started_at`, `ends_at` and `label` are None while nothing is recorded or streamed.

    `duration_s` is the running recording's, else the selected one; 0 means until stopped.
    """

    state: DeviceState
    mode: str | None
    selected_mode: str
    duration_s: float
    started_at: datetime | None
    ends_at: datetime | None
    label: str | None
    cameras: dict[str, CameraStatus]
    problems: tuple[Problem, ...]
    last_command: Result | None
