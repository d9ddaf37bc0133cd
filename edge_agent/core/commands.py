"""The commands that the outside can give, as values. Decoding text and JSON into them is `wire`'s business."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from edge_agent.core.model import Code, Now, ResultStatus

DEFAULT_LOCK_S = 300.0
"""What a lock that says nothing about time goes back."""


class Verb(StrEnum):
    START = "start"
    STOP = "stop"
    MODE = "mode"
    DURATION = "duration"
    RECORD = "record"
    STREAM = "stream"
    SNAPSHOT = "snapshot"
    LOCK = "lock"
    UNLOCK = "unlock"
    CLIP = "clip"
    PING = "ping"
    ANNOUNCE = "announce"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Start:
    """Start recording or streaming.

    `mode` None means the selected mode, unless `cameras` names some: then those cameras at `resolution` (`640` when
    None). `duration_s` None means the selected duration, 0 until stopped.
    """

    mode: str | None = None
    cameras: tuple[str, ...] | None = None
    resolution: str | None = None
    duration_s: float | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class SelectMode:
    mode: str


@dataclass(frozen=True, slots=True)
class SelectDuration:
    duration_s: float


@dataclass(frozen=True, slots=True)
class Stream:
    """Live view without recording, on all cameras: `start` of mode `stream`, but never in place of a recording."""


@dataclass(frozen=True, slots=True)
class StopStream:
    """`stream OFF`: ends live view; refused while recording."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """Protect footage from retention.

    Either `before_s` seconds back from now, or the window `start` to `end` (None: open on that side); with neither,
    the last `DEFAULT_LOCK_S`.
    """

    before_s: float | None = None
    after_s: float = 0.0
    start: datetime | None = None
    end: datetime | None = None
    label: str | None = None

    def window(self, now: datetime) -> tuple[datetime, datetime]:
        """What is meant at the wall instant `now`: footage from the first instant up to the second."""
        if self.start is None and self.end is None:
            before_s = DEFAULT_LOCK_S if self.before_s is None else self.before_s
            return now - timedelta(seconds=before_s), now + timedelta(seconds=self.after_s)
        return self.start or datetime.min.replace(tzinfo=UTC), self.end or now


@dataclass(frozen=True, slots=True)
class Unlock:
    label: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    camera: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Announce:
    pass


@dataclass(frozen=True, slots=True)
class Restart:
    pass


Body = (
    Start
    | Stop
    | SelectMode
    | SelectDuration
    | Stream
    | StopStream
    | Snapshot
    | Lock
    | Unlock
    | Clip
    | Ping
    | Announce
    | Restart
)


class Origin(StrEnum):
    MQTT = "mqtt"
    HTTP = "http"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Command:
    """One command as it came in: what is asked (`body`) and by whom.

    `id` is the sender's, or made by the door it came through when it sent none. `expires_at` is the wall instant from
    which on it is refused as `expired`; None means never. `at` is the common start instant. `refusal` is set where the
    door already knows that the command must not be carried out (retained, malformed ...): it is answered, not obeyed.
    `reply_to` and `correlation` are the MQTT 5 response topic and correlation data, if the sender gave any.
    """

    id: str
    verb: str
    body: Body | None
    received: Now
    origin: Origin = Origin.AGENT
    by: str | None = None
    at: datetime | None = None
    expires_at: datetime | None = None
    warnings: tuple[str, ...] = ()
    refusal: Refusal | None = None
    reply_to: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command is not carried out: a stable code and a sentence that says what to do about it."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a command. `data` holds JSON values only and differs by verb."""

    id: str
    verb: str
    status: ResultStatus
    code: Code
    message: str
    at: datetime
    took_ms: int
    duplicate: bool = False
    warnings: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether no further answer follows."""
        return self.status is not ResultStatus.ACCEPTED
