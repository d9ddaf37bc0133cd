"""What the agent decides: the closed set of values that `Agent.handle` returns, in the order to carry them out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge_agent.core.commands import Command, Result
from edge_agent.core.model import EventType, Run, Session


@dataclass(frozen=True, slots=True)
class StartRun:
    """Start the camera program. `session` is what a recording run belongs to, None for live view."""

    run: Run
    session: Session | None


@dataclass(frozen=True, slots=True)
class StopRun:
    """Stop a run by the stop ladder; a `RunEnded` and then a `RunClosed` will follow."""

    run_id: str


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """Write the session's new deadline, label or start into every running recording's record on disk."""

    session: Session


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a result to whoever gave the command."""

    command: Command
    result: Result


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the world one thing that happened."""

    event_type: EventType
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedState:
    """What survives a restart. `session` is the recording that is meant to be on."""

    selected_mode: str
    selected_duration_s: float
    next_sequence: int
    session: Session | None


@dataclass(frozen=True, slots=True)
class Save:
    """Keep this over a restart."""

    state: SavedState


@dataclass(frozen=True, slots=True)
class DoJob:
    """Carry out a command that only touches the outside (snapshot, lock, unlock, clip); answer by `JobDone`."""

    command: Command


@dataclass(frozen=True, slots=True)
class Compare:
    """Make one side-by-side picture of what these cameras recorded in these runs, which are stored by now."""

    cameras: tuple[str, ...]
    run_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish everything again."""


@dataclass(frozen=True, slots=True)
class RestartAgent:
    """Start the agent anew and leave the recorders running."""


Effect = StartRun | StopRun | UpdateSession | Answer | Report | Save | DoJob | Compare | Announce | RestartAgent
