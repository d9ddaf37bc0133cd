"""Commands in flight and commands answered: every command is settled exactly once, and the same id is obeyed once.

Knows nothing of what commands do: `Agent` opens an entry when it has taken a command on and settles it with a code.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from edge_agent.core.commands import Command, Result
from edge_agent.core.effects import Answer
from edge_agent.core.model import Code, Now, ResultStatus

REMEMBERED = 1000
"""Answered ids kept for telling a repeated command; at the permitted 10 a second the last 100 s at the least."""


@dataclass(slots=True)
class Entry:
    """A command that was taken on and is not settled yet. `repeats` are later commands with the same id."""

    command: Command
    deadline_mono_s: float
    repeats: list[Command] = field(default_factory=list)


class Ledger:
    """The book of commands. `known` seeds it with what was answered before a restart, oldest first."""

    def __init__(self, known: dict[str, Result] | None = None) -> None:
        self._answered: OrderedDict[str, Result] = OrderedDict(known or {})
        self._open: dict[str, Entry] = {}
        self.last: Result | None = None

    @property
    def open(self) -> tuple[Entry, ...]:
        """Entries that wait for their final answer, oldest first."""
        return tuple(self._open.values())

    def repeated(self, command: Command) -> list[Answer] | None:
        """The answers to a command whose id was seen before, or None for a new one.

        While the first is still in flight there is no answer yet: it is given to both when it settles. A retained
        command is refused as such whatever its id: a broker may show what it kept long after it was obeyed.
        """
        if command.refusal and command.refusal.code is Code.RETAINED:
            return None
        if entry := self._open.get(command.id):
            entry.repeats.append(command)
            return []
        if result := self._answered.get(command.id):
            return [Answer(command, replace(result, duplicate=True))]
        return None

    def take_on(self, command: Command, now: Now, patience_s: float, message: str) -> Answer:
        """Open an entry that must be settled within `patience_s` and say `accepted`."""
        self._open[command.id] = Entry(command, now.mono_s + patience_s)
        return Answer(command, _result(command, ResultStatus.ACCEPTED, Code.OK, message, now))

    def settle(
        self, command: Command, code: Code, message: str, now: Now, data: dict[str, Any] | None = None
    ) -> list[Answer]:
        """Give the final answer: `succeeded` for ok, `failed` where it was tried, `rejected` where it was not."""
        entry = None if command.refusal else self._open.pop(command.id, None)
        refused = ResultStatus.FAILED if entry else ResultStatus.REJECTED
        status = ResultStatus.SUCCEEDED if code is Code.OK else refused
        result = _result(command, status, code, message, now, data)
        self.last = result
        if command.refusal is None:
            self._remember(result)
        repeats = entry.repeats if entry else []
        return [Answer(command, result), *(Answer(again, replace(result, duplicate=True)) for again in repeats)]

    def find(self, command_id: str) -> Entry | None:
        return self._open.get(command_id)

    def next_deadline(self) -> float | None:
        return min((entry.deadline_mono_s for entry in self._open.values()), default=None)

    def _remember(self, result: Result) -> None:
        """Keep an answer for the same id. What the door refused was never a command: mended, it may come again."""
        self._answered[result.id] = result
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)


def interrupted(command: Command, now: Now) -> Result:
    """The answer to a command that an earlier agent took on and did not live to settle."""
    message = "the agent was interrupted before it was done: look at the status, and send it again with another id"
    return _result(replace(command, received=now), ResultStatus.FAILED, Code.INTERRUPTED, message, now)


def _result(
    command: Command,
    status: ResultStatus,
    code: Code,
    message: str,
    now: Now,
    data: dict[str, Any] | None = None,
) -> Result:
    return Result(
        id=command.id,
        verb=command.verb,
        status=status,
        code=code,
        message=message,
        at=now.wall,
        took_ms=max(0, round((now.mono_s - command.received.mono_s) * 1000)),
        warnings=command.warnings,
        data=data or {},
    )
