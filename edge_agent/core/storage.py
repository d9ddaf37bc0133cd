"""Whether footage can be stored, as the core knows it, and what a change of that means for the world."""

from __future__ import annotations

from edge_agent.core.effects import Effect, Report
from edge_agent.core.model import Code, EventType, Now
from edge_agent.core.problems import Problems

_SUBJECT = "storage"
_CODES = {"disk_full": Code.DISK_FULL, "read_only": Code.READ_ONLY}


class Storage:
    """The volume's trouble: `problem` is None while footage can be stored. Owned by `Agent`.

    `stalled` says that nobody can look at what recorders write just now, which says nothing about the cameras.
    """

    def __init__(self, problems: Problems) -> None:
        self.problem: str | None = None
        self.message = ""
        self._stalls: set[str] = set()
        self._problems = problems

    @property
    def stalled(self) -> bool:
        return bool(self._stalls)

    @property
    def code(self) -> Code:
        """What a command fails with that wants to record in spite of the problem."""
        return _CODES.get(self.problem or "", Code.INTERNAL)

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

    def stall(self, code: str, message: str | None, now: Now) -> None:
        """Take note that the disk does not answer, for the reason `code`, or (None) that it is over."""
        if message is None:
            self._stalls.discard(code)
        else:
            self._stalls.add(code)
        self._problems.set(code, _SUBJECT, message, now)
