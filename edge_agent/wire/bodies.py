"""What each verb takes: one model per verb, which checks the keys, says what they mean and becomes the core's value.

The JSON Schemas of the commands are generated from these models, so what is documented is what is accepted. A null
counts as a key that is not there: templates of dashboards send one where they have nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from edge_agent.core import commands
from edge_agent.core.commands import Body, Verb
from edge_agent.core.model import MAX_DURATION_S, NAME_PATTERN, RESERVED_NAMES, RESOLUTIONS, Code, is_label, is_name
from edge_agent.wire.values import DURATION_PATTERN, BadValue, parse_duration, parse_instant, parse_switch, shown

MAX_ID_CHARS = 64
MAX_CAMERAS = 16

NAME_HINT = "names are lower-case letters, digits, _ and -, at most 32, and begin with a letter or digit"


def _field(parse: Callable[[object], object], schema: dict[str, Any]) -> tuple[BeforeValidator, WithJsonSchema]:
    """The two annotations of a field: how it is read, with the refusal's code kept, and how the schema shows it."""

    def validate(value: object) -> object:
        try:
            return parse(value)
        except BadValue as error:
            raise PydanticCustomError(error.code.value, "{sentence}", {"sentence": str(error)}) from None

    return BeforeValidator(validate), WithJsonSchema(schema)


def _name(unknown: Code, kind: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise BadValue(f"{shown(value)} is not text; send the name of a {kind}")
        if not is_name(value):
            reason = "is reserved" if value in RESERVED_NAMES else f"cannot name a {kind}"
            raise BadValue(f"{shown(value)} {reason}; {NAME_HINT}", unknown)
        return value

    return parse


def _label(value: object) -> str:
    if not isinstance(value, str) or not (value == "" or is_label(value)):
        raise BadValue(f"{shown(value)} is not a label; send up to 64 of the characters A-Z a-z 0-9 space . _ -")
    return value


def _resolution(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise BadValue(f"{shown(value)} is not text; send one of {', '.join(RESOLUTIONS)}")
    if text not in RESOLUTIONS:
        raise BadValue(f"{shown(value)} is not a resolution; send one of {', '.join(RESOLUTIONS)}", Code.OUT_OF_RANGE)
    return text


def printable_id(value: object) -> str:
    """`value` if it can serve as an id or a sender's name: 1 to 64 printable characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS or not value.isprintable():
        raise BadValue(f"{shown(value)} is not text of 1 to {MAX_ID_CHARS} printable characters")
    return value


_name_schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_instant_schema = {
    "oneOf": [
        {"type": "string", "format": "date-time", "examples": ["2026-11-23T09:15:00Z"]},
        {"type": "number", "minimum": 0, "description": "seconds since 1970"},
    ]
}
_id_schema = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS}

ModeName = Annotated[str, *_field(_name(Code.UNKNOWN_MODE, "mode"), _name_schema)]
CameraName = Annotated[str, *_field(_name(Code.UNKNOWN_CAMERA, "camera"), _name_schema)]
Label = Annotated[str, *_field(_label, {"type": "string", "pattern": "^[A-Za-z0-9 ._-]{0,64}$"})]
Id = Annotated[str, *_field(printable_id, _id_schema)]
Instant = Annotated[datetime, *_field(parse_instant, _instant_schema)]
Resolution = Annotated[str, *_field(_resolution, {"enum": [*RESOLUTIONS, 640]})]
Switch = Annotated[
    bool,
    *_field(
        parse_switch,
        {
            "anyOf": [
                {"type": "string", "pattern": "^([Oo][Nn]|[Oo][Ff][Ff]|0|1|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])$"},
                {"type": "boolean"},
                {"enum": [0, 1]},
            ]
        },
    ),
]
Duration = Annotated[
    float,
    *_field(
        parse_duration,
        {
            "oneOf": [
                {"type": "number", "minimum": 0, "maximum": MAX_DURATION_S, "description": "seconds"},
                {"type": "string", "pattern": DURATION_PATTERN, "examples": ["90", "90s", "10m", "1h30m"]},
            ]
        },
    ),
]


class CommandBody(BaseModel):
    """The keys that every command may carry. All are optional."""

    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)
    verb: ClassVar[Verb]
    text_key: ClassVar[str | None] = None
    """The key that a plain text payload stands for; None where the verb takes none."""

    v: Literal[1] | None = Field(default=None, description="Version of this contract")
    id: Id | None = Field(default=None, description="Names this command; the same id twice is carried out once")
    ts: Instant | None = Field(default=None, description="When the command was sent")
    ttl: Duration | None = Field(default=None, description="Seconds after `ts` from which on it is refused as expired")
    at: Instant | None = Field(default=None, description="Common start instant of several devices")
    by: Id | None = Field(default=None, description="Who sent it, for logs")

    def body(self) -> Body:
        """The core's value. Raises `BadValue` where keys contradict each other."""
        raise NotImplementedError


class StartBody(CommandBody):
    """Starts in the named, else the selected mode."""

    verb = Verb.START
    text_key = "mode"
    mode: ModeName | None = Field(default=None, description="A mode of the info document; not with `cameras`")
    cameras: Annotated[list[CameraName], Field(min_length=1, max_length=MAX_CAMERAS)] | None = Field(
        default=None, description="Record these instead of a mode's"
    )
    resolution: Resolution | None = Field(default=None, description="With `cameras`; 640 if absent")
    duration: Duration | None = Field(default=None, description="0 means until stopped; absent: the selected duration")
    label: Label | None = Field(default=None, description="Written to the footage")

    def body(self) -> commands.Start:
        if self.mode is not None and (self.cameras is not None or self.resolution is not None):
            raise BadValue("mode stands beside cameras or resolution; send a mode, or cameras with a resolution")
        if self.resolution is not None and self.cameras is None:
            raise BadValue("resolution stands without cameras; name the cameras, or send a mode")
        if self.cameras is not None and len(set(self.cameras)) != len(self.cameras):
            raise BadValue(f"cameras names one twice: {', '.join(self.cameras)}; name each once")
        return commands.Start(
            mode=self.mode,
            cameras=None if self.cameras is None else tuple(self.cameras),
            resolution=self.resolution,
            duration_s=self.duration,
            label=self.label or None,
        )


class StopBody(CommandBody):
    """Stops recording or streaming; files are finished."""

    verb = Verb.STOP

    def body(self) -> commands.Stop:
        return commands.Stop()


class ModeBody(CommandBody):
    """Selects the mode; while recording it switches at once."""

    verb = Verb.MODE
    text_key = "mode"
    mode: ModeName = Field(description="A mode of the info document")

    def body(self) -> commands.SelectMode:
        return commands.SelectMode(self.mode)


class DurationBody(CommandBody):
    """Selects the duration; while recording it moves the deadline, counted from the start of the recording."""

    verb = Verb.DURATION
    text_key = "duration"
    duration: Duration = Field(description="0 means until stopped")

    def body(self) -> commands.SelectDuration:
        return commands.SelectDuration(self.duration)


class RecordBody(CommandBody):
    """`ON`: start with the selected mode. `OFF`: stop."""

    verb = Verb.RECORD
    text_key = "state"
    state: Switch = Field(description="ON or OFF")

    def body(self) -> commands.Start | commands.Stop:
        return commands.Start() if self.state else commands.Stop()


class StreamBody(CommandBody):
    """`ON`: live view without recording. `OFF`: ends it."""

    verb = Verb.STREAM
    text_key = "state"
    state: Switch = Field(description="ON or OFF")

    def body(self) -> commands.Stream | commands.StopStream:
        return commands.Stream() if self.state else commands.StopStream()


class SnapshotBody(CommandBody):
    """One JPEG per camera: published, stored and named in the result."""

    verb = Verb.SNAPSHOT
    text_key = "camera"
    camera: CameraName | None = Field(default=None, description="Absent: every camera")

    def body(self) -> commands.Snapshot:
        return commands.Snapshot(self.camera)


class LockBody(CommandBody):
    """Protects the footage of a window, on all cameras, from retention; with no window the last 5 minutes."""

    verb = Verb.LOCK
    text_key = "before"
    before: Duration | None = Field(default=None, description="Back from now")
    after: Duration | None = Field(default=None, description="On from now")
    start: Instant | None = Field(default=None, alias="from", description="Begin of the window; not with `before`")
    end: Instant | None = Field(default=None, alias="to", description="End of the window; not with `after`")
    label: Label | None = Field(default=None, description="Names the lock, so that it can be released by it")

    def body(self) -> commands.Lock:
        window = self.start is not None or self.end is not None
        if window and (self.before is not None or self.after is not None):
            raise BadValue("before or after stands beside from or to; send one pair or the other")
        _in_order(self.start, self.end)
        if self.before == 0 and not self.after:
            raise BadValue("a window of 0 s protects nothing; send how far back, such as 5m", Code.OUT_OF_RANGE)
        return commands.Lock(
            before_s=self.before, after_s=self.after or 0.0, start=self.start, end=self.end, label=self.label or None
        )


class UnlockBody(CommandBody):
    """Gives footage back to retention: what was locked under a label, or in a window. An empty label: under none."""

    verb = Verb.UNLOCK
    text_key = "label"
    label: Label | None = Field(default=None, description="The label of the lock")
    start: Instant | None = Field(default=None, alias="from", description="Begin of the window")
    end: Instant | None = Field(default=None, alias="to", description="End of the window")

    def body(self) -> commands.Unlock:
        if self.label is None and self.start is None and self.end is None:
            raise BadValue("unlock does not say what; send a label, or from and to")
        _in_order(self.start, self.end)
        return commands.Unlock(label=self.label, start=self.start, end=self.end)


class ClipBody(CommandBody):
    """One mp4 of a camera over segment borders, without re-encoding."""

    verb = Verb.CLIP
    camera: CameraName = Field(description="Whose footage")
    start: Instant = Field(alias="from", description="Begin of the clip")
    end: Instant = Field(alias="to", description="End of the clip")

    def body(self) -> commands.Clip:
        _in_order(self.start, self.end)
        return commands.Clip(self.camera, self.start, self.end)


class PingBody(CommandBody):
    """Answers with the status."""

    verb = Verb.PING

    def body(self) -> commands.Ping:
        return commands.Ping()


class AnnounceBody(CommandBody):
    """Publishes info, status, telemetry and discovery again."""

    verb = Verb.ANNOUNCE

    def body(self) -> commands.Announce:
        return commands.Announce()


class RestartBody(CommandBody):
    """Restarts the agent; a running recording goes on."""

    verb = Verb.RESTART

    def body(self) -> commands.Restart:
        return commands.Restart()


def _in_order(start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None and end <= start:
        raise BadValue("to is not later than from; send from before to", Code.OUT_OF_RANGE)


_BODIES: tuple[type[CommandBody], ...] = (
    StartBody,
    StopBody,
    ModeBody,
    DurationBody,
    RecordBody,
    StreamBody,
    SnapshotBody,
    LockBody,
    UnlockBody,
    ClipBody,
    PingBody,
    AnnounceBody,
    RestartBody,
)
BODIES: dict[Verb, type[CommandBody]] = {body.verb: body for body in _BODIES}
COMMON_KEYS = tuple(CommandBody.model_fields)


def keys_of(body: type[CommandBody]) -> tuple[str, ...]:
    """The JSON keys of a verb without the common ones, in the order of its documentation."""
    return tuple(field.alias or name for name, field in body.model_fields.items() if name not in COMMON_KEYS)
