"""What the world hears of recordings: that one began, and that it ended, once all of it is stored."""

from __future__ import annotations

from edge_agent.core.effects import Compare, Effect, Report
from edge_agent.core.model import EventType, Mode, Session


class Chronicle:
    """Which recording was told of, and which runs are not stored yet. Owned by `Agent`."""

    def __init__(self) -> None:
        self._open_runs: set[str] = set()
        self._told: str | None = None
        self._waiting: list[tuple[frozenset[str], Effect]] = []

    @property
    def unfinished(self) -> bool:
        """Whether some recording is still going on, being stopped or being stored."""
        return bool(self._open_runs)

    def opened(self, run_id: str) -> None:
        """A run records from now on."""
        self._open_runs.add(run_id)

    def closed(self, run_id: str) -> None:
        """A run has ended and all of it is stored."""
        self._open_runs.discard(run_id)

    def went_on(self, session: Session) -> None:
        """A recording outlived the agent that told of its start, if it had started."""
        self._told = session.id if session.started else None

    def began(self, session: Session) -> list[Effect]:
        """A recording delivers; that is told once."""
        if self._told == session.id:
            return []
        self._told = session.id
        return [Report(EventType.RECORDING_STARTED, _fields(session))]

    def ended(self, session: Session, reason: str) -> None:
        """Nothing more is wanted of a session; of its end hears who heard of its start."""
        if self._told == session.id:
            self._told = None
            self._when_stored(Report(EventType.RECORDING_STOPPED, _fields(session) | {"reason": reason}))

    def compare(self, mode: Mode) -> None:
        """Compare what the cameras of `mode` record now."""
        self._when_stored(Compare(mode.cameras, frozenset(self._open_runs)))

    def due(self) -> list[Effect]:
        """What waited for runs that are stored by now: whoever hears of an end finds all the files."""
        due = [effect for runs, effect in self._waiting if not runs & self._open_runs]
        self._waiting = [(runs, effect) for runs, effect in self._waiting if runs & self._open_runs]
        return due

    def _when_stored(self, effect: Effect) -> None:
        self._waiting.append((frozenset(self._open_runs), effect))


def _fields(session: Session) -> dict[str, object]:
    return {"mode": session.mode, "cameras": list(session.cameras), "label": session.label}
