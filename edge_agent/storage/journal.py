"""The command journal: which commands were taken on and how they were answered, across a restart of the agent.

One JSON object a line, only ever appended: `accepted` when a command is taken on, `final` when it is answered, `told`
when the broker has that answer. From it the next agent answers what the last one left open, tells again what nobody may
have heard, and knows an id that comes again. Everything here blocks.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_agent.core.commands import Command, Origin, Result
from edge_agent.core.ledger import REMEMBERED
from edge_agent.core.model import Code, Now, ResultStatus
from edge_agent.durable import make_folder, sync_folder, write_all, write_durably
from edge_agent.storage.errors import StorageError, storage_errors

log = logging.getLogger(__name__)

MAX_KEPT_BYTES = 2_097_152
"""What the kept lines may take together; the oldest answers go first. An answer takes 300 to 2000 bytes."""
MAX_FILE_BYTES = 2 * MAX_KEPT_BYTES
"""At this size the file is written anew with what is kept. At 300 bytes a line that is once in 7000 commands."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the journal of the last agent says.

    `interrupted` are commands without a final answer, oldest first, with neither body nor monotonic time. `results` are
    the newest final answers by command id, oldest first; `untold` those of them that the broker may not have got, with
    a command that knows no more than where the answer goes.
    """

    interrupted: tuple[Command, ...]
    results: dict[str, Result]
    untold: tuple[tuple[Command, Result], ...] = ()


class CommandJournal:
    """One journal file. Belongs to one process and one thread at a time; `load` it before anything else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False
        self._open: OrderedDict[str, bytes] = OrderedDict()
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._told: set[str] = set()
        self._kept_bytes = 0

    def load(self) -> Recalled:
        """Read the journal, and write it anew with what counts. Blocking.

        A torn last line and lines that are none are passed over. Raises `StorageError`.
        """
        self.close()
        interrupted: OrderedDict[str, Command] = OrderedDict()
        results: OrderedDict[str, tuple[Command, Result]] = OrderedDict()
        told: set[str] = set()
        skipped = 0
        with storage_errors("read the command journal", self._path):
            content = self._content()
        for line in filter(None, content.split(b"\n")):
            match _decoded(line):
                case Command() as command:
                    interrupted[command.id] = command
                case (Command() as command, Result() as result):
                    interrupted.pop(command.id, None)
                    told.discard(command.id)
                    results[command.id] = command, result
                    results.move_to_end(command.id)
                case list() as ids:
                    told.update(ids)
                case None:
                    skipped += 1
        if skipped:
            log.warning("command journal has unreadable lines: path=%s lines=%d", self._path, skipped)
        self._open = OrderedDict((key, _accepted_line(command)) for key, command in interrupted.items())
        self._answered = OrderedDict((key, _final_line(*answered)) for key, answered in results.items())
        self._told = told & set(results)
        self._kept_bytes = sum(map(len, self._answered.values()))
        self._forget()
        try:
            self.rewrite()
        except StorageError as error:
            log.warning("command journal cannot be tidied: %s", error)
        return Recalled(
            interrupted=tuple(interrupted.values()),
            results={key: results[key][1] for key in self._answered},
            untold=tuple(results[key] for key in self._answered if key not in self._told),
        )

    def accepted(self, command: Command) -> None:
        """Note that a command is being carried out. Blocking: synced on return. Raises `StorageError`."""
        line = _accepted_line(command)
        self._open[command.id] = line
        self._append(line)

    def final(self, command: Command, result: Result, *, synced: bool = True) -> None:
        """Note a final answer. Blocking: synced on return, unless it need not outlive a power cut.

        Raises `StorageError`.
        """
        line = _final_line(command, result)
        self._open.pop(result.id, None)
        self._told.discard(result.id)
        self._kept_bytes += len(line) - len(self._answered.pop(result.id, b""))
        self._answered[result.id] = line
        self._forget()
        self._append(line, synced=synced)

    def told(self, command_id: str) -> None:
        """Note that the broker has the final answer. Not synced: one told twice is better than none.

        Raises `StorageError`.
        """
        if command_id in self._answered and command_id not in self._told:
            self._told.add(command_id)
            self._append(_told_line([command_id]), synced=False)

    def rewrite(self) -> None:
        """Write the file anew with what is kept: also what could not be noted. Blocking. Raises `StorageError`."""
        with storage_errors("write the command journal", self._path):
            self.close()
            make_folder(self._path.parent)
            told = [_told_line(sorted(self._told))] if self._told else []
            content = b"".join([*self._answered.values(), *told, *self._open.values()])
            write_durably(self._path, content)
            self._size = len(content)
            self._torn = False

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: bytes, *, synced: bool = True) -> None:
        with storage_errors("append to the command journal", self._path):
            if self._size + len(line) > MAX_FILE_BYTES:
                self.rewrite()
                return
            if self._descriptor is None:
                self._descriptor = self._opened()
            # After a write that failed half-way, a line end keeps the torn line from swallowing this one.
            whole = b"\n" + line if self._torn else line
            self._torn = True
            write_all(self._descriptor, whole)
            self._size += len(whole)
            self._torn = False
            if synced:
                os.fdatasync(self._descriptor)

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        make_folder(self._path.parent)
        descriptor = os.open(self._path, flags, 0o644)
        sync_folder(self._path.parent)
        self._size = os.fstat(descriptor).st_size
        return descriptor

    def _forget(self) -> None:
        while len(self._answered) > REMEMBERED or (self._kept_bytes > MAX_KEPT_BYTES and len(self._answered) > 1):
            command_id, line = self._answered.popitem(last=False)
            self._told.discard(command_id)
            self._kept_bytes -= len(line)

    def _content(self) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return b""
        try:
            size = os.fstat(descriptor).st_size
            with open(descriptor, "rb", closefd=False) as file:
                file.seek(max(0, size - 2 * MAX_FILE_BYTES))  # larger than we make it: the newest lines count
                return file.read(2 * MAX_FILE_BYTES)
        finally:
            os.close(descriptor)


def _accepted_line(command: Command) -> bytes:
    return _line(
        {
            "v": 1,
            "accepted": command.id,
            "verb": command.verb,
            "received_at": command.received.wall.isoformat(),
            "origin": command.origin.value,
            "by": command.by,
            **_where(command),
        }
    )


def _final_line(command: Command, result: Result) -> bytes:
    return _line(
        {
            "v": 1,
            "final": result.id,
            "verb": result.verb,
            "status": result.status.value,
            "code": result.code.value,
            "message": result.message,
            "at": result.at.isoformat(),
            "took_ms": result.took_ms,
            "warnings": list(result.warnings),
            "data": result.data,
            **_where(command),
        }
    )


def _told_line(ids: list[str]) -> bytes:
    return _line({"v": 1, "told": ids})


def _where(command: Command) -> dict[str, Any]:
    """Where a command's answers go, besides the result topic."""
    correlation = None if command.correlation is None else base64.b64encode(command.correlation).decode("ascii")
    return {"reply_to": command.reply_to, "correlation": correlation}


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _decoded(line: bytes) -> Command | tuple[Command, Result] | list[str] | None:
    """What a line says, None for one that this agent did not write whole."""
    try:
        document = json.loads(line)
        if document["v"] != 1:
            return None
        if "told" in document:
            return [_text(command_id) for command_id in document["told"]]
        return _command(document) if "accepted" in document else _answered(document)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _command(document: dict[str, Any]) -> Command:
    return Command(
        id=_text(document["accepted"]),
        verb=_text(document["verb"]),
        body=None,
        received=Now(0.0, _instant(document["received_at"])),
        origin=Origin(document["origin"]),
        by=_optional_text(document["by"]),
        reply_to=_optional_text(document["reply_to"]),
        correlation=_correlation(document["correlation"]),
    )


def _answered(document: dict[str, Any]) -> tuple[Command, Result]:
    result = _result(document)
    command = Command(
        id=result.id,
        verb=result.verb,
        body=None,
        received=Now(0.0, result.at),
        reply_to=_optional_text(document.get("reply_to")),
        correlation=_correlation(document.get("correlation")),
    )
    return command, result


def _correlation(value: object) -> bytes | None:
    text = _optional_text(value)
    return None if text is None else base64.b64decode(text, validate=True)


def _result(document: dict[str, Any]) -> Result:
    if not isinstance(document["data"], dict) or not isinstance(document["took_ms"], int):
        raise TypeError("data or took_ms of another type")
    return Result(
        id=_text(document["final"]),
        verb=_text(document["verb"]),
        status=ResultStatus(document["status"]),
        code=Code(document["code"]),
        message=_text(document["message"]),
        at=_instant(document["at"]),
        took_ms=document["took_ms"],
        warnings=tuple(_text(warning) for warning in document["warnings"]),
        data=document["data"],
    )


def _instant(value: object) -> datetime:
    return datetime.fromisoformat(_text(value)).astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)
