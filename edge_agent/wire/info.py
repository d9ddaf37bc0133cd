"""The info document: who a device is and what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from edge_agent.core.commands import Verb
from edge_agent.core.flood import COMMAND_BURST, COMMANDS_PER_S
from edge_agent.core.model import MAX_DURATION_S, RESOLUTIONS, Mode, Purpose, Step
from edge_agent.wire.parts import Count, Document, Instant, Part, Seconds, dumped
from edge_agent.wire.payload import MAX_PAYLOAD_BYTES


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


def info_document(about: About, at: datetime, cameras: Sequence[CameraAbout], modes: Sequence[Mode]) -> dict[str, Any]:
    """Who this device is, with its cameras and modes in the order given."""
    return dumped(
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
