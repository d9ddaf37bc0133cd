"""The event document: one thing that happened, with the fields that belong to its type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer, WithJsonSchema

from edge_agent.core.model import EventType
from edge_agent.wire.parts import Count, Document, Seconds
from edge_agent.wire.values import format_instant_ms

InstantMs = Annotated[
    datetime,
    PlainSerializer(format_instant_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class EventDocument(Document):
    """What every event carries. `at` is when it happened, also where it is sent later.

    Unlike other documents an event may carry more than is declared: the fields of a happening grow with what is known
    of it, and nobody's record of it shall be lost for a field too many.
    """

    model_config = ConfigDict(extra="allow")
    event_type: EventType
    device: str
    at: InstantMs


class AgentStarted(EventDocument):
    event_type: Literal[EventType.AGENT_STARTED]
    adopted: Count = Field(description="Recorders that went on without an agent and belong to this one now")


class RecordingStarted(EventDocument):
    event_type: Literal[EventType.RECORDING_STARTED]
    mode: str
    cameras: list[str]
    label: str | None


class RecordingStopped(EventDocument):
    event_type: Literal[EventType.RECORDING_STOPPED]
    mode: str
    cameras: list[str]
    label: str | None
    reason: str


class SegmentStored(EventDocument):
    event_type: Literal[EventType.SEGMENT_STORED]
    camera: str
    path: str
    started_at: InstantMs
    duration_s: Seconds
    size_bytes: Count
    locked: bool


class SegmentDeleted(EventDocument):
    event_type: Literal[EventType.SEGMENT_DELETED]
    camera: str
    path: str
    uploaded: bool = Field(default=False, description="Whether it lies in a store elsewhere")


class SegmentLocked(EventDocument):
    event_type: Literal[EventType.SEGMENT_LOCKED]
    camera: str
    path: str


class SnapshotTaken(EventDocument):
    event_type: Literal[EventType.SNAPSHOT_TAKEN]
    camera: str | None = Field(description="null: a picture that compares several cameras")
    path: str


class ClipReady(EventDocument):
    event_type: Literal[EventType.CLIP_READY]
    camera: str
    path: str
    url: str = Field(description="Path on this agent's web server")


class FootageUploaded(EventDocument):
    event_type: Literal[EventType.FOOTAGE_UPLOADED]
    camera: str
    path: str
    size_bytes: Count
    bucket: str
    key: str = Field(description="The object's name in the bucket")
    released: bool = Field(description="Whether it was unlocked because it is stored elsewhere now")


class CameraFault(EventDocument):
    event_type: Literal[EventType.CAMERA_FAULT]
    camera: str
    code: str
    message: str


class CameraRecovered(EventDocument):
    event_type: Literal[EventType.CAMERA_RECOVERED]
    camera: str


class StorageLow(EventDocument):
    event_type: Literal[EventType.STORAGE_LOW]
    free_bytes: Count


class StorageFull(EventDocument):
    event_type: Literal[EventType.STORAGE_FULL]
    message: str


class CommandRefused(EventDocument):
    event_type: Literal[EventType.COMMAND_REFUSED]
    id: str
    verb: str
    code: str
    message: str
    by: str | None = None


class ClockStepped(EventDocument):
    event_type: Literal[EventType.CLOCK_STEPPED]
    step_s: float = Field(description="By how much; negative: back")


EVENTS: dict[EventType, type[EventDocument]] = {
    EventType.AGENT_STARTED: AgentStarted,
    EventType.RECORDING_STARTED: RecordingStarted,
    EventType.RECORDING_STOPPED: RecordingStopped,
    EventType.SEGMENT_STORED: SegmentStored,
    EventType.SEGMENT_DELETED: SegmentDeleted,
    EventType.SEGMENT_LOCKED: SegmentLocked,
    EventType.SNAPSHOT_TAKEN: SnapshotTaken,
    EventType.CLIP_READY: ClipReady,
    EventType.FOOTAGE_UPLOADED: FootageUploaded,
    EventType.CAMERA_FAULT: CameraFault,
    EventType.CAMERA_RECOVERED: CameraRecovered,
    EventType.STORAGE_LOW: StorageLow,
    EventType.STORAGE_FULL: StorageFull,
    EventType.COMMAND_REFUSED: CommandRefused,
    EventType.CLOCK_STEPPED: ClockStepped,
}


def event_document(device: str, event_type: EventType, at: datetime, fields: Mapping[str, Any]) -> dict[str, Any]:
    """One thing that happened at `at`. Instants in `fields` are aware datetimes."""
    model = EVENTS[event_type]
    document = model.model_validate({**fields, "event_type": event_type, "device": device, "at": at})
    return document.model_dump(mode="json")
