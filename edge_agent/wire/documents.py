"""The documents that the agent publishes, as models, and the functions that make them from core values.

Each function returns the document as JSON values with `"v": 1` first; `encode` makes the bytes. Keys are closed: what
is not declared here is not published. Instants are UTC with `Z`: whole seconds where people read them, milliseconds in
events, where order matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from edge_agent.core.commands import Result, Verb
from edge_agent.core.flood import COMMAND_BURST, COMMANDS_PER_S
from edge_agent.core.model import (
    MAX_DURATION_S,
    RESOLUTIONS,
    CameraState,
    Code,
    DeviceState,
    Mode,
    Purpose,
    ResultStatus,
    Step,
)
from edge_agent.core.status import AgentStatus
from edge_agent.wire.payload import MAX_PAYLOAD_BYTES
from edge_agent.wire.values import format_instant


def _plain_number(value: float) -> int | float:
    """600 rather than 600.0, and no more than milliseconds of the rest."""
    return int(value) if value == int(value) else round(value, 3)


Instant = Annotated[
    datetime,
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Seconds = Annotated[
    float, PlainSerializer(_plain_number, return_type=int | float), WithJsonSchema({"type": "number", "minimum": 0})
]
Count = Annotated[int, Field(ge=0)]


_CLOSED = ConfigDict(
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    # Built at their first use: what an agent never publishes costs no memory (0.9 MB for all).
    defer_build=True,
    json_schema_serialization_defaults_required=True,
)


class Document(BaseModel):
    """What every document begins with."""

    model_config = _CLOSED
    v: Literal[1] = Field(default=1, description="Version of this contract")


class Part(BaseModel):
    """An object inside a document."""

    model_config = ConfigDict(**_CLOSED, from_attributes=True)


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
    cameras: dict[str, CameraTelemetryPart] = {}


class RpicamPart(Part):
    program: str | None = Field(description="Path of the camera program; null while none was found")
    version: str | None


class CameraAboutPart(Part):
    id: str
    name: str
    index: Count
    model: str | None = Field(description="The sensor that the camera program lists, such as imx708")
    present: bool = Field(description="Whether the camera program lists it")


class StepPart(Part):
    width: int
    height: int
    fps: int
    length_s: Seconds | None = Field(description="null: until stopped")


class ModePart(Part):
    name: str
    cameras: list[str]
    purpose: Purpose
    resolution: str = Field(description="Of the first step, as `start` takes it, else WIDTHxHEIGHT")
    timed: bool = Field(description="Whether it ends by itself, so that no duration applies")
    steps: list[StepPart]


class HttpPart(Part):
    url: str | None = Field(description="Where the page and the REST API are; null while nothing listens")


class MqttPart(Part):
    base_topic: str
    protocol: Literal["5", "3.1.1"]


class LimitsPart(Part):
    payload_bytes: int
    duration_s: int
    commands_per_s: int
    command_burst: int


class InfoDocument(Document):
    """Who this device is and what it can do; changes only with its configuration, its cameras and its version."""

    device: str
    name: str
    groups: list[str]
    at: Instant
    boot_id: str
    started_at: Instant = Field(description="When this agent started")
    version: str
    simulated: bool = Field(description="Whether the cameras are test pictures")
    rpicam: RpicamPart
    cameras: list[CameraAboutPart]
    modes: list[ModePart]
    verbs: list[Verb]
    resolutions: list[str]
    http: HttpPart
    mqtt: MqttPart
    limits: LimitsPart


@dataclass(frozen=True, slots=True)
class CameraAbout:
    """A configured camera as the info document shows it; `model` is None while the camera program has not told."""

    id: str
    name: str
    index: int
    model: str | None
    present: bool


@dataclass(frozen=True, slots=True)
class About:
    """What the info document says of the device, the machine and the addresses, apart from cameras and modes."""

    device: str
    name: str
    groups: tuple[str, ...]
    version: str
    boot_id: str
    started_at: datetime
    simulated: bool
    rpicam_program: str | None
    rpicam_version: str | None
    http_url: str | None
    base_topic: str
    protocol: Literal["5", "3.1.1"]


def encode(document: Mapping[str, Any]) -> bytes:
    """The document's bytes: compact UTF-8 JSON. What cannot be UTF-8 (half of a surrogate pair) becomes `?`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def result_document(device: str, result: Result) -> dict[str, Any]:
    """A result as its sender gets it, over whichever door."""
    return _dumped(
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
    return _dumped(
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
    return _dumped(TelemetryDocument.model_validate({**values, "device": device, "at": at}))


def info_document(about: About, at: datetime, cameras: Sequence[CameraAbout], modes: Sequence[Mode]) -> dict[str, Any]:
    """Who this device is, with its cameras and modes in the order given."""
    return _dumped(
        InfoDocument(
            device=about.device,
            name=about.name,
            groups=list(about.groups),
            at=at,
            boot_id=about.boot_id,
            started_at=about.started_at,
            version=about.version,
            simulated=about.simulated,
            rpicam=RpicamPart(program=about.rpicam_program, version=about.rpicam_version),
            cameras=[CameraAboutPart.model_validate(camera) for camera in cameras],
            modes=[_mode_part(mode) for mode in modes],
            verbs=list(Verb),
            resolutions=list(RESOLUTIONS),
            http=HttpPart(url=about.http_url),
            mqtt=MqttPart(base_topic=about.base_topic, protocol=about.protocol),
            limits=LimitsPart(
                payload_bytes=MAX_PAYLOAD_BYTES,
                duration_s=MAX_DURATION_S,
                commands_per_s=COMMANDS_PER_S,
                command_burst=COMMAND_BURST,
            ),
        )
    )


def _mode_part(mode: Mode) -> ModePart:
    return ModePart(
        name=mode.name,
        cameras=list(mode.cameras),
        purpose=mode.purpose,
        resolution=mode.steps[0].profile.short,
        timed=mode.timed,
        steps=[_step_part(step) for step in mode.steps],
    )


def _step_part(step: Step) -> StepPart:
    profile = step.profile
    return StepPart(width=profile.width, height=profile.height, fps=profile.fps, length_s=step.length_s)


def _dumped(document: Document) -> dict[str, Any]:
    return document.model_dump(mode="json")
