"""The answers to one order: who gave which, who is still to come, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge_agent.core.model import ResultStatus, is_name

_SHOWN_CHARS = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """One result document of one device. Texts are fit for a terminal, whatever the device sent."""

    device: str
    status: ResultStatus
    code: str
    message: str
    took_ms: int | None
    duplicate: bool
    warnings: tuple[str, ...]
    document: dict[str, Any]

    @property
    def final(self) -> bool:
        return self.status is not ResultStatus.ACCEPTED

    @property
    def succeeded(self) -> bool:
        return self.status is ResultStatus.SUCCEEDED


class Answers:
    """Collects the answers to the order `order_id`. `expected` are those who have to answer."""

    def __init__(self, order_id: str, expected: Iterable[str]) -> None:
        self._order_id = order_id
        self._expected = frozenset(expected)
        self._seen: set[tuple[str, ResultStatus]] = set()
        self.finals: dict[str, Answer] = {}

    @property
    def complete(self) -> bool:
        """Whether everybody who had to has given a final answer; never while nobody is expected."""
        return bool(self._expected) and self._expected <= self.finals.keys()

    @property
    def silent(self) -> tuple[str, ...]:
        """Who had to answer and did not, in order of names."""
        return tuple(sorted(self._expected - self.finals.keys()))

    def take(self, payload: bytes) -> Answer | None:
        """The answer in a message; None for what is no answer to this order, or came before by another topic."""
        answer = read_answer(payload)
        if answer is None or answer.document.get("id") != self._order_id:
            return None
        if (answer.device, answer.status) in self._seen or answer.device in self.finals:
            return None
        self._seen.add((answer.device, answer.status))
        if answer.final:
            self.finals[answer.device] = answer
        return answer


def read_answer(payload: bytes) -> Answer | None:
    """A result document as it came over the wire; None for anything else."""
    try:
        document = json.loads(payload)
        device, status = document["device"], ResultStatus(document["status"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(device, str) or not is_name(device):
        return None
    took_ms, warnings = document.get("took_ms"), document.get("warnings")
    return Answer(
        device=device,
        status=status,
        code=plain(document.get("code")),
        message=plain(document.get("message")),
        took_ms=took_ms if isinstance(took_ms, int) else None,
        duplicate=document.get("duplicate") is True,
        warnings=tuple(plain(one) for one in warnings) if isinstance(warnings, list) else (),
        document=document,
    )


def plain(value: object) -> str:
    """A text from outside without what would move a terminal's cursor; empty for what is no text."""
    text = value[:_SHOWN_CHARS] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text)
