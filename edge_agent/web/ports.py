"""What the web room needs of the rest of the house, as Protocols, and what `app` gives it.

Refusals come back as values: a `Refusal` carries the code and the sentence that the browser gets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from edge_agent.core.commands import Command, Refusal, Result
from edge_agent.core.model import Now, Profile, Segment
from edge_agent.core.status import AgentStatus
from edge_agent.latest import Latest


class Ask(Protocol):
    """The door to the driver."""

    async def __call__(self, command: Command, timeout_s: float) -> Result:
        """Give a command and wait for its final answer. Raises `TimeoutError`; the command goes on then."""


class Page(Protocol):
    """Segments, newest first, and what to ask the next page with; None at the end."""

    @property
    def segments(self) -> tuple[Segment, ...]: ...

    @property
    def next_cursor(self) -> str | None: ...


class Checked(Protocol):
    """What was found in a stored segment; `damage` None: it is sound."""

    @property
    def path(self) -> str: ...

    @property
    def damage(self) -> str | None: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def frames(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings a page shows: None does not filter, `start` and `end` keep what overlaps the window."""

    camera: str | None = None
    mode: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    locked: bool | None = None
    label: str | None = None


class Recordings(Protocol):
    """The archive as a browser sees it. Paths are relative to its root. Safe to cancel."""

    async def page(self, wanted: Wanted, limit: int, cursor: str | None) -> Page | Refusal:
        """Up to `limit` segments. Refuses a cursor that no page gave."""

    async def open(self, path: str) -> int | Refusal:
        """A descriptor for reading one file of the archive, which the caller closes. Makes a missing thumbnail."""

    async def delete(self, path: str) -> Refusal | None:
        """Delete a segment, snapshot or clip and what belongs to it; never a locked one."""

    async def verify(self, path: str) -> Checked | Refusal:
        """Look at one segment from its first box to its last, without decoding."""

    async def clip(self, camera: str, start: datetime, end: datetime) -> AsyncGenerator[bytes, None] | Refusal:
        """The bytes of one mp4 as they are made; close the generator to end the work.

        What is refused is known before the first byte. The generator raises `OSError` where the work fails later.
        """


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored snapshot. `camera` is the folder it lies in: a camera's id, or `comparison`."""

    path: str
    camera: str
    taken_at: datetime
    size_bytes: int


class Album(Protocol):
    """The stored snapshots. Safe to cancel."""

    async def snapshots(self, limit: int) -> Sequence[Picture] | Refusal:
        """Up to `limit` of them, newest first."""


class LiveSettings(Protocol):
    """The live picture as it is, and how to change it while the agent runs."""

    @property
    def profile(self) -> Profile:
        """Size, rate and quality that are in force; its `bitrate_bps` means nothing."""

    async def change(self, profile: Profile) -> Refusal | None:
        """Show this from now on, to those who watch already, too, and keep it over restarts.

        Recordings are not touched. After the return `profile` is the new one.
        """


@dataclass(frozen=True, slots=True)
class House:
    """Everything that the handlers use. `info` and `telemetry` hold the documents as published.

    Without `live` there are no settings to change, without `album` no list of snapshots.
    """

    device: str
    boot_id: str
    version: str
    clock: Callable[[], Now]
    new_id: Callable[[], str]
    ask: Ask
    status: Latest[AgentStatus]
    info: Latest[dict[str, Any]]
    telemetry: Latest[dict[str, Any]]
    recordings: Recordings
    live: LiveSettings | None = None
    album: Album | None = None
