from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.app.answering import RETOLD, RETOLD_WITHIN, WRITE_PATIENCE_S, Answering, left_to_answer
from edge_agent.app.disk import Disk
from edge_agent.core.commands import Command, Refusal, Result
from edge_agent.core.events import Event, ProblemChanged
from edge_agent.core.model import Code, Now, ResultStatus
from edge_agent.host.clock import Clock
from edge_agent.storage.journal import CommandJournal, Recalled

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)


def command(command_id: str, verb: str = "start") -> Command:
    return Command(command_id, verb, None, Now(0.0, AT), reply_to=f"reply/{command_id}")


def result(command_id: str, status: ResultStatus = ResultStatus.SUCCEEDED, *, at: datetime = AT) -> Result:
    return Result(command_id, "start", status, Code.OK, "done", at, 5)


ACCEPTED = ResultStatus.ACCEPTED


@dataclass
class World:
    """A journal, its disk, and what was sent: each answer with what was on the disk by then."""

    path: Path
    disk: Disk
    journal: CommandJournal
    sent: list[tuple[str, str]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    taken: dict[str, Callable[[], None] | None] = field(default_factory=dict)

    def send(self, _command: Command, answer: Result, taken: Callable[[], None] | None) -> None:
        self.sent.append((answer.id, answer.status.value))
        self.written.append(self.path.read_text() if self.path.is_file() else "")
        self.taken[answer.id] = taken

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """A disk that does not answer meanwhile."""
        mended = threading.Event()
        self.disk.submit(mended.wait)
        try:
            yield
        finally:
            mended.set()

    def recalled(self) -> Recalled:
        """What the next agent knows."""
        assert self.disk.close()
        return CommandJournal(self.path).load()


@pytest.fixture
def world(tmp_path: Path) -> World:
    path = tmp_path / "commands.jsonl"
    world = World(path, Disk("state", Clock()), CommandJournal(path))
    world.disk.submit(world.journal.load).result()
    return world


async def test_what_is_told_is_on_the_disk_by_then(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send)
        with world.stalled():
            answering.answer(command("a"), result("a", ACCEPTED))
            answering.answer(command("a"), result("a"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(WRITE_PATIENCE_S / 10):
                    await answering.settle()
            assert world.sent == []
        await answering.settle()
    assert world.sent == [("a", "accepted"), ("a", "succeeded")]
    assert '"accepted":"a"' in world.written[0]
    assert '"final":"a"' in world.written[1]


async def test_a_disk_that_does_not_answer_holds_answers_up_for_a_moment_only(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send)
        with world.stalled():
            for name in "ab":
                answering.answer(command(name), result(name, ACCEPTED))
            await answering.settle()
            assert world.sent == [("a", "accepted"), ("b", "accepted")]
            assert world.written == ["", ""]
    assert [one.id for one in world.recalled().interrupted] == ["a", "b"], "written as soon as it was mended"


async def test_a_disk_that_takes_nothing_keeps_no_answer_back_and_is_told_until_all_is_written(world: World) -> None:
    world.journal.close()
    world.path.unlink()
    world.path.mkdir()
    told: list[Event] = []
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send, told.append, retry_s=0.01)
        for name in "ab":
            answering.answer(command(name), result(name))
        await answering.settle()
        assert world.sent == [("a", "succeeded"), ("b", "succeeded")]
        assert [one.message is None for one in told if isinstance(one, ProblemChanged)] == [False, False]
        world.path.rmdir()
    assert told[-1] == ProblemChanged("commands_unsaved", None)
    assert len(told) == 3
    assert list(world.recalled().results) == ["a", "b"]


async def test_a_write_that_fails_when_its_answer_has_been_sent_is_told_as_well(world: World) -> None:
    world.journal.close()
    world.path.unlink()
    world.path.mkdir()
    told: asyncio.Queue[Event] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send, told.put_nowait, retry_s=0.01)
        with world.stalled():
            answering.answer(command("a"), result("a"))
            await answering.settle()
            assert (world.sent, told.empty()) == ([("a", "succeeded")], True)
        problem = await asyncio.wait_for(told.get(), 20)
        assert isinstance(problem, ProblemChanged)
        assert problem.code == "commands_unsaved"
        world.path.rmdir()
    assert told.get_nowait() == ProblemChanged("commands_unsaved", None)
    assert list(world.recalled().results) == ["a"]


async def test_answers_keep_their_order_whether_they_are_written_down_or_not(world: World) -> None:
    refused = replace(command("refused"), refusal=Refusal(Code.MALFORMED, "no"))
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send)
        answering.answer(command("a"), result("a"))
        answering.answer(refused, result("refused", ResultStatus.REJECTED))
        answering.answer(command("a"), replace(result("a"), duplicate=True))
        answering.answer(command("b"), result("b"))
        await answering.settle()
    assert [name for name, _ in world.sent] == ["a", "refused", "a", "b"]
    assert list(world.recalled().results) == ["a", "b"]


async def test_a_refusal_is_known_to_the_next_agent_too(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send)
        answering.answer(command("late"), result("late", ResultStatus.REJECTED))
        await answering.settle()
    assert world.recalled().results["late"].status is ResultStatus.REJECTED


async def test_the_next_agent_tells_again_what_the_broker_has_not_got(world: World) -> None:
    async with asyncio.TaskGroup() as tasks:
        answering = Answering(world.journal, world.disk, tasks, world.send)
        for name in ("heard", "lost"):
            answering.answer(command(name), result(name))
        answering.answer(command("open"), result("open", ACCEPTED))
        await answering.settle()
        told = world.taken["heard"]
        assert told is not None
        told()
    answers = left_to_answer(world.recalled(), Now(0.0, AT))
    assert [(to.reply_to, one.id, one.code, one.duplicate) for to, one in answers] == [
        ("reply/lost", "lost", Code.OK, True),
        ("reply/open", "open", Code.INTERRUPTED, False),
    ]


def test_old_answers_are_not_told_again_and_new_ones_only_so_many() -> None:
    old = [(command(f"old{n}"), result(f"old{n}")) for n in range(2)]
    new = [(command(f"n{n}"), result(f"n{n}", at=AT + RETOLD_WITHIN)) for n in range(RETOLD + 5)]
    now = Now(0.0, AT + RETOLD_WITHIN + timedelta(seconds=1))
    again = left_to_answer(Recalled((), {}, (*old, *new)), now)
    assert [answer.id for _, answer in again] == [f"n{n}" for n in range(5, RETOLD + 5)]
    assert len(left_to_answer(Recalled((), {}, (*old, *new)), Now(0.0, AT - timedelta(days=400)))) == RETOLD
