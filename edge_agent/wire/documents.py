"""The documents of what a device does and measures: result, status and telemetry, made from core values.

Each function returns the document as JSON values; what they are made of is in `parts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from edge_agent.core.commands import Result
from edge_agent.core.model import CameraState, Code, DeviceState, ResultStatus
from edge_agent.core.status import AgentStatus
from edge_agent.wire.parts import Count, Document, Instant, Part, Seconds, dumped


class ResultDocument(Document):
    """The answer to a command: `accepted` (more will follow), then exactly one of the others."""

    id: str
    verb: str
    status: ResultStatus
    code: Code
    message: str
    device: str
    at: Instant
    took_ms: Count
    duplicate: bool
    warnings: list[str]
    data: dict[str, Any] = Field(description="Differs by verb")


class CameraPart(Part):
    state: CameraState
    recording: bool
    width: int | None
    height: int | None
    fps: int | None
    segment: str | None = Field(description="Path in the archive of the segment being written")
    verified_until: Instant | None = Field(description="Up to here footage is written, synced and playable")
    restarts: Count
    error: str | None


class ProblemPart(Part):
    code: str
    message: str
    since: Instant


class LastCommandPart(Part):
    id: str
    verb: str
    status: ResultStatus
    code: Code
    at: Instant


class StatusDocument(Document):
    """The state of the device, published on change only."""

    device: str
    boot_id: str
    at: Instant
    state: DeviceState
    mode: str | None
    selected_mode: str
    duration_s: Seconds = Field(description="0 means until stopped")
    started_at: Instant | None
    ends_at: Instant | None
    label: str | None
    cameras: dict[str, CameraPart]
    problems: list[ProblemPart]
    last_command: LastCommandPart | None


class DiskPart(Part):
    free_bytes: int | None = None
    total_bytes: int | None = None
    used_percent: float | None = None
    write_bps: float | None = None
    sync_ms: float | None = None
    recording_hours_left: float | None = None


class RecordingsPart(Part):
    count: int | None = None
    bytes: int | None = None
    locked_bytes: int | None = None
    extra_bytes: int | None = None
    oldest_at: Instant | None = None


class NetworkPart(Part):
    rx_bps: float | None = None
    tx_bps: float | None = None


class AgentPart(Part):
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    uptime_s: Seconds | None = None


class OffloadPart(Part):
    """How far the sending of locked footage and clips to a store has come."""

    pending_count: Count | None = Field(default=None, description="Segments and clips that wait to be sent")
    pending_bytes: Count | None = None
    sent_count: Count = Field(default=0, description="Stored elsewhere since the agent started")
    sent_bytes: Count = Field(default=0, description="Sent since the agent started, what was sent again included")
    sending: str | None = Field(default=None, description="Path in the archive of what is being sent now")
    last_error: str | None = Field(default=None, description="Why sending fails; null when it does not")


class CameraTelemetryPart(Part):
    fps: float | None = None
    bitrate_bps: float | None = None
    viewers: int | None = None
    dropped_frames: int | None = None


class TelemetryDocument(Document):
    """What this machine measures. A value that it does not have is null, never invented."""

    device: str
    at: Instant
    cpu_percent: float | None = None
    load_1m: float | None = None
    memory_percent: float | None = None
    memory_available_bytes: int | None = None
    temperature_c: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    uptime_s: Seconds | None = None
    clock_synchronized: bool | None = None
    disk: DiskPart = DiskPart()
    recordings: RecordingsPart = RecordingsPart()
    network: NetworkPart = NetworkPart()
    offload: OffloadPart | None = Field(default=None, description="null unless offload.enabled")
    agent: AgentPart = AgentPart()
    cameras: dict[str, CameraTelemetryPart] = Field(default={})


def result_document(device: str, result: Result) -> dict[str, Any]:
    """A result as its sender gets it, over whichever door."""
    return dumped(
        ResultDocument(
            id=result.id,
            verb=result.verb,
            status=result.status,
            code=result.code,
            message=result.message,
            device=device,
            at=result.at,
            took_ms=result.took_ms,
            duplicate=result.duplicate,
            warnings=list(result.warnings),
            data=result.data,
        )
    )


def status_document(device: str, boot_id: str, at: datetime, status: AgentStatus) -> dict[str, Any]:
    """The device's state as of `at`."""
    return dumped(
        StatusDocument(
            device=device,
            boot_id=boot_id,
            at=at,
            state=status.state,
            mode=status.mode,
            selected_mode=status.selected_mode,
            duration_s=status.duration_s,
            started_at=status.started_at,
            ends_at=status.ends_at,
            label=status.label,
            cameras={camera: CameraPart.model_validate(one) for camera, one in status.cameras.items()},
            problems=[ProblemPart.model_validate(problem) for problem in status.problems],
            last_command=LastCommandPart.model_validate(status.last_command) if status.last_command else None,
        )
    )


def telemetry_document(device: str, at: datetime, values: Mapping[str, Any]) -> dict[str, Any]:
    """Telemetry from nested `values` under the document's own keys; what is absent is null."""
    return dumped(TelemetryDocument.model_validate({**values, "device": device, "at": at}))
