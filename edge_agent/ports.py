"""What the driver needs of the outside, as Protocols: the rooms behind them are joined in `app`.

Every method is called on the event loop and returns at once; what takes time is done in a task of the implementer's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from edge_agent.core.commands import Command, Result
from edge_agent.core.effects import SavedState
from edge_agent.core.events import Event
from edge_agent.core.model import EventType, Now, Run, Session

Post = Callable[[Event], None]
"""Where a room tells what happened. Call it on the event loop."""


class Clock(Protocol):
    def now(self) -> Now: ...


class Runs(Protocol):
    """Lives of the camera program."""

    def start(self, run: Run, session: Session | None) -> None:
        """Start a run; `FirstFrame`, `BytesSeen` ... `RunEnded` and `RunClosed` follow as events."""

    def stop(self, run_id: str) -> None:
        """Begin the stop ladder; without effect on a run that has ended."""

    def update(self, session: Session) -> None:
        """Write the session into the record of every running recording."""


class Outlet(Protocol):
    """What the world hears: results, events, and everything again."""

    def answer(self, command: Command, result: Result) -> Result:
        """Send a result; what was sent, which may say more than what was given, comes back."""

    def report(self, event_type: EventType, at: datetime, fields: dict[str, Any]) -> None: ...

    def announce(self) -> None: ...


class Memory(Protocol):
    """What survives a restart."""

    def save(self, state: SavedState) -> None: ...


class Jobs(Protocol):
    """Work on the outside that a command asks for; its end comes back as a `JobDone` event."""

    def do(self, command: Command) -> None: ...

    def compare(self, cameras: tuple[str, ...], run_ids: frozenset[str]) -> None: ...


class Process(Protocol):
    """The agent's own process."""

    def restart(self) -> None: ...
