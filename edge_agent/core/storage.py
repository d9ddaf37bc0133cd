"""Whether footage can be stored, as the core knows it, and what a change of that means for the world."""

from __future__ import annotations

from edge_agent.core.effects import Effect, Report
from edge_agent.core.model import EventType, Now
from edge_agent.core.problems import Problems

_SUBJECT = "storage"


class Storage:
    """The volume's trouble: `problem` is None while footage can be stored. Owned by `Agent`.

    `stalled` says that the disk does not answer just now, which says nothing about the cameras.
    """

    def __init__(self, problems: Problems) -> None:
        self.problem: str | None = None
        self.message = ""
        self.stalled = False
        self._problems = problems

    def change(self, problem: str | None, message: str, now: Now) -> list[Effect]:
        """Take note of a problem that came, changed or (None) went."""
        before, self.problem, self.message = self.problem, problem, message
        if before and before != problem:
            self._problems.set(before, _SUBJECT, None, now)
        if problem:
            self._problems.set(problem, _SUBJECT, message, now)
        if problem == "disk_full" and before != problem:
            return [Report(EventType.STORAGE_FULL, {"message": message})]
        return []

    def stall(self, message: str | None, now: Now) -> None:
        """Take note that the disk does not answer, or (None) that it does again."""
        self.stalled = message is not None
        self._problems.set("disk_stalled", _SUBJECT, message, now)
