"""Answers are written down before they are sent: what the world was told, the next agent knows.

A crash between the two leaves an answer that is sent by the next agent. In the other order it would leave a command
that was accepted and never answered, or one answered twice, and differently. They go out in the order they were given
in; a disk that does not answer holds them up for `WRITE_PATIENCE_S` and no longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from edge_agent.app.disk import Disk
from edge_agent.core import events as ev
from edge_agent.core.commands import Command, Result, Verb
from edge_agent.core.ledger import interrupted
from edge_agent.core.model import Now, ResultStatus
from edge_agent.ports import Post
from edge_agent.storage.errors import StorageError
from edge_agent.storage.journal import CommandJournal, Recalled

WRITE_PATIENCE_S = 1.0
"""The times within which commands are answered leave room for so much. On a good disk it takes milliseconds."""
RETRY_S = 30.0
"""A journal that could not be written is tried again after so long: the disk may be well, and no command come."""
PROBLEM = "commands_unsaved"
RETOLD = 100
RETOLD_WITHIN = timedelta(hours=1)
"""Answers that the broker may not have got are sent again by the next agent: so many, and none that is older."""
_CHANGE_NOTHING = (Verb.PING, Verb.ANNOUNCE)

log = logging.getLogger(__name__)

Send = Callable[[Command, Result, Callable[[], None] | None], None]
"""Publishes an answer; the third argument, if any, is to be called once the broker has it."""


@dataclass(slots=True)
class _Waiting:
    command: Command
    result: Result
    written: bool


class Answering:
    """Make it on the event loop. Every write is queued at once, so that it is made even where nobody waits for it."""

    def __init__(
        self,
        journal: CommandJournal,
        disk: Disk,
        tasks: asyncio.TaskGroup,
        send: Send,
        post: Post = lambda _: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._journal = journal
        self._disk = disk
        self._tasks = tasks
        self._send = send
        self._post = post
        self._retry_s = retry_s
        self._mending = False
        self._well = asyncio.Event()
        self._waiting: deque[_Waiting] = deque()
        self._sent = asyncio.Event()

    def answer(self, command: Command, result: Result) -> None:
        """Write an answer down and send it."""
        written = self._write(command, result)
        waiting = _Waiting(command, result, written is None)
        self._waiting.append(waiting)
        if written is None:
            self._send_written()
        else:
            self._tasks.create_task(self._see(waiting, written), name=f"journal {result.id}")

    async def settle(self) -> None:
        """Wait until all answers so far were sent."""
        while self._waiting:
            self._sent.clear()
            await self._sent.wait()

    def _write(self, command: Command, result: Result) -> Future[None] | None:
        """Queue the note of an answer; None where nothing is noted: of a repetition, and of what the door refused."""
        if result.duplicate or command.refusal is not None:
            return None
        if not result.final:
            return self._disk.submit(self._journal.accepted, command)
        # What changed nothing has to outlive this process, and no power cut: it is not worth the wear.
        synced = result.verb not in _CHANGE_NOTHING and result.status is not ResultStatus.REJECTED
        return self._disk.submit(self._journal.final, command, result, synced=synced)

    async def _see(self, waiting: _Waiting, written: Future[None]) -> None:
        try:
            async with asyncio.timeout(WRITE_PATIENCE_S):
                # Shielded, or leaving would take back a write that still waits for its turn.
                await asyncio.shield(asyncio.wrap_future(written))
        except StorageError as error:
            self._fail(error)
        except TimeoutError:
            log.warning("answer is sent before it is written down: id=%s", waiting.result.id)
            self._tasks.create_task(self._see_late(written), name=f"journal {waiting.result.id}")
        else:
            self._well.set()
        finally:
            waiting.written = True
            self._send_written()

    def _send_written(self) -> None:
        while self._waiting and self._waiting[0].written:
            one = self._waiting.popleft()
            noted = one.result.final and one.command.refusal is None
            self._send(one.command, one.result, partial(self._note_told, one.result.id) if noted else None)
        self._sent.set()

    def _note_told(self, command_id: str) -> None:
        written = self._disk.submit(self._journal.told, command_id)
        self._tasks.create_task(self._see_late(written), name=f"journal {command_id}")

    async def _see_late(self, written: Future[None]) -> None:
        """See how a write went that no answer waits for, or waits for any longer."""
        try:
            await asyncio.shield(asyncio.wrap_future(written))
        except StorageError as error:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        """Tell that something is not written down, and see to it that it is in the end."""
        log.warning("command journal: %s", error)
        told = f"commands given now and their answers are forgotten at the next start ({error}): make room there"
        self._post(ev.ProblemChanged(PROBLEM, told))
        if not self._mending:
            self._mending = True
            self._tasks.create_task(self._mend(), name="mend the command journal")

    async def _mend(self) -> None:
        written = False
        while not written:
            self._well.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._retry_s):
                    await self._well.wait()
            with contextlib.suppress(StorageError):
                await asyncio.shield(asyncio.wrap_future(self._disk.submit(self._journal.rewrite)))
                written = True
        self._mending = False
        self._post(ev.ProblemChanged(PROBLEM, None))


def left_to_answer(recalled: Recalled, now: Now) -> tuple[tuple[Command, Result], ...]:
    """What the last agent left to tell: answers that the broker may not have got, and commands it did not live to end.

    An answer from the future is young: the clock was not set yet when it was given, or is not set yet.
    """
    young = [(command, result) for command, result in recalled.untold if now.wall - result.at <= RETOLD_WITHIN]
    again = [(command, replace(result, duplicate=True)) for command, result in young[-RETOLD:]]
    return (*again, *((command, interrupted(command, now)) for command in recalled.interrupted))
