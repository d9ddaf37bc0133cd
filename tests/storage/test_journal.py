from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.core.commands import Command, Origin, Result, Stop
from edge_agent.core.ledger import REMEMBERED
from edge_agent.core.model import Code, Now, ResultStatus
from edge_agent.storage.errors import StorageError
from edge_agent.storage.journal import MAX_FILE_BYTES, MAX_KEPT_BYTES, CommandJournal

AT = datetime(2026, 11, 23, 9, 15, 0, 250_000, tzinfo=UTC)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def command(id_: str = "01JB7", **fields: Any) -> Command:
    given: dict[str, Any] = {"verb": "stop", "body": Stop(), "received": Now(12.5, AT), "origin": Origin.MQTT}
    return Command(id=id_, **(given | fields))


def result(id_: str = "01JB7", **fields: Any) -> Result:
    given: dict[str, Any] = {
        "verb": "stop",
        "status": ResultStatus.SUCCEEDED,
        "code": Code.OK,
        "message": "stopped",
        "at": AT,
        "took_ms": 840,
    }
    return Result(id=id_, **(given | fields))


def recalled(command: Command) -> Command:
    """The command as the next agent knows it."""
    return Command(
        id=command.id,
        verb=command.verb,
        body=None,
        received=Now(0.0, command.received.wall),
        origin=command.origin,
        by=command.by,
        reply_to=command.reply_to,
        correlation=command.correlation,
    )


def final(journal: CommandJournal, result: Result) -> None:
    journal.final(command(result.id, verb=result.verb), result)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "commands.jsonl"


def opened(path: Path) -> CommandJournal:
    journal = CommandJournal(path)
    journal.load()
    return journal


def test_a_device_without_a_journal_knows_nothing(path: Path) -> None:
    known = CommandJournal(path).load()
    assert (known.interrupted, known.results) == ((), {})


def test_a_command_without_its_final_answer_is_interrupted(path: Path) -> None:
    journal = opened(path)
    first = command("a", by="dashboard", reply_to="reply/7", correlation=b"\x00\xff")
    second = command("b", verb="clip", origin=Origin.HTTP)
    journal.accepted(first)
    journal.accepted(second)
    journal.accepted(command("c"))
    final(journal, result("c"))
    known = CommandJournal(path).load()
    assert known.interrupted == (recalled(first), recalled(second))
    assert known.results == {"c": result("c")}


def test_answers_are_recalled_as_they_were_given(path: Path) -> None:
    journal = opened(path)
    failed = result(
        "x",
        status=ResultStatus.FAILED,
        code=Code.PARTIAL,
        message="only cam0 \u2028 \n Küche",
        warnings=("unknown key spede",),
        data={"files": ["a.jpg"], "bytes": 5, "nested": {"v": None}},
        at=AT.astimezone(UTC) + timedelta(microseconds=1),
    )
    final(journal, failed)
    assert CommandJournal(path).load().results == {"x": failed}


def test_an_interrupted_command_is_told_until_it_is_answered(path: Path) -> None:
    opened(path).accepted(command("a"))
    for _ in range(2):
        journal = CommandJournal(path)
        assert [found.id for found in journal.load().interrupted] == ["a"]
    final(journal, result("a", status=ResultStatus.FAILED, code=Code.INTERRUPTED))
    known = CommandJournal(path).load()
    assert known.interrupted == ()
    assert known.results["a"].code is Code.INTERRUPTED


def test_the_newest_thousand_answers_are_kept_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: None)  # 1100 of them would only measure this disk
    journal = opened(path)
    for n in range(REMEMBERED + 100):
        final(journal, result(f"c{n}"))
    known = CommandJournal(path).load()
    assert list(known.results) == [f"c{n}" for n in range(100, REMEMBERED + 100)]


def test_an_id_that_is_answered_again_is_kept_once_with_the_newest_answer(path: Path) -> None:
    journal = opened(path)
    for message in ("first", "second"):
        final(journal, result("a", message=message))
    final(journal, result("b"))
    known = CommandJournal(path).load()
    assert [(key, found.message) for key, found in known.results.items()] == [("a", "second"), ("b", "stopped")]


def test_the_file_stays_bounded_and_forgets_only_the_oldest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    journal = opened(path)
    journal.accepted(command("open"))
    large = {"files": ["x" * 100_000]}
    for n in range(100):
        final(journal, result(f"c{n}", data=large))
        assert path.stat().st_size <= MAX_FILE_BYTES
    known = CommandJournal(path).load()
    assert path.stat().st_size <= MAX_KEPT_BYTES + 1000
    assert list(known.results) == [f"c{n}" for n in range(100 - len(known.results), 100)]
    assert len(known.results) >= 15
    assert [found.id for found in known.interrupted] == ["open"]


def test_every_record_is_on_the_disk_when_the_call_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(path)
    real, synced = os.fdatasync, []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    journal.accepted(command())
    assert synced == [path.stat().st_size]
    final(journal, result())
    assert synced[1:] == [path.stat().st_size]
    journal.final(command(), result(), synced=False)
    journal.told("01JB7")
    assert len(synced) == 2, "and none that need not be"


def test_answers_that_the_broker_has_not_got_are_known_with_where_they_go(path: Path) -> None:
    journal = opened(path)
    asked = command("a", reply_to="reply/7", correlation=b"\x00\xff")
    journal.accepted(asked)
    for one in (asked, command("b"), command("c")):
        journal.final(one, result(one.id))
    journal.told("b")
    for _ in range(2):  # also when it was written anew in between
        ((where, answer), (_, other)) = CommandJournal(path).load().untold
        assert (where.reply_to, where.correlation) == ("reply/7", b"\x00\xff")
        assert (answer, other) == (result("a"), result("c"))


def test_an_id_that_is_answered_anew_has_to_be_told_anew(path: Path) -> None:
    journal = opened(path)
    final(journal, result("a"))
    journal.told("a")
    final(journal, result("a", message="second"))
    assert [answer.message for _, answer in CommandJournal(path).load().untold] == ["second"]


def test_that_an_answer_was_told_is_forgotten_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    journal = opened(path)
    for n in range(REMEMBERED + 100):
        final(journal, result(f"c{n}"))
        journal.told(f"c{n}")
    known = CommandJournal(path).load()
    assert (len(known.results), known.untold) == (REMEMBERED, ())
    told = [line for line in path.read_bytes().splitlines() if b'"told"' in line]
    assert [len(json.loads(line)["told"]) for line in told] == [REMEMBERED]


@in_one_folder
@given(cut=st.integers(0, 2000))
def test_a_cut_at_any_byte_loses_the_torn_line_only(path: Path, cut: int) -> None:
    path.unlink(missing_ok=True)
    journal = opened(path)
    journal.accepted(command("a"))
    final(journal, result("a"))
    journal.accepted(command("b"))
    journal.close()
    content = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    path.write_bytes(content[:cut])
    whole = sum(end - 1 <= cut for end in ends)  # a line without its line end is whole
    known = CommandJournal(path).load()
    interrupted = [found.id for found in known.interrupted]
    assert (interrupted, list(known.results)) == [([], []), (["a"], []), ([], ["a"]), (["b"], ["a"])][whole]


@in_one_folder
@given(rubbish=st.binary(max_size=300))
def test_no_content_keeps_the_agent_from_starting_or_hides_what_comes_after_it(path: Path, rubbish: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(rubbish)
    journal = opened(path)
    journal.accepted(command("after"))
    journal.close()
    assert [found.id for found in CommandJournal(path).load().interrupted] == ["after"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
accepted_keys = ("v", "accepted", "verb", "received_at", "origin", "by", "reply_to", "correlation")
final_keys = ("v", "final", "verb", "status", "code", "message", "at", "took_ms", "warnings", "data", "told")


@in_one_folder
@given(key=st.sampled_from(accepted_keys + final_keys), value=json_values)
def test_a_line_with_a_wrong_value_is_passed_over(path: Path, key: str, value: object) -> None:
    path.unlink(missing_ok=True)
    journal = opened(path)
    journal.accepted(command("a"))
    final(journal, result("b"))
    journal.told("b")
    journal.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if key in line:
            line[key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    known = CommandJournal(path).load()
    assert all(isinstance(found.verb, str) and found.received.wall.tzinfo is UTC for found in known.interrupted)
    assert all(isinstance(found.message, str) and isinstance(found.data, dict) for found in known.results.values())
    assert CommandJournal(path).load() == known


def test_a_write_that_failed_half_way_does_not_swallow_the_next_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(path)
    journal.accepted(command("a"))
    real = os.write
    with monkeypatch.context() as disk:
        calls = 0

        def full(descriptor: int, data: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls > 1:
                raise OSError(28, "No space left on device")
            return real(descriptor, bytes(data)[:20])

        disk.setattr(os, "write", full)
        with pytest.raises(StorageError, match="No space left"):
            journal.accepted(command("b"))
    final(journal, result("a"))
    known = CommandJournal(path).load()
    assert (known.interrupted, list(known.results)) == ((), ["a"])


def test_a_folder_in_the_journals_place_is_an_error_that_names_it(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"commands\.jsonl"):
        CommandJournal(path).load()
