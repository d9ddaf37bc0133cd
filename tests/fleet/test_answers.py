from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.fleet.answers import Answers, plain, read_answer


def result(device: str, status: str = "succeeded", order_id: str = "one", **more: Any) -> bytes:
    document = {"v": 1, "id": order_id, "verb": "ping", "status": status, "code": "ok", "message": "idle"}
    return json.dumps({**document, "device": device, "took_ms": 3, "duplicate": False, "warnings": [], **more}).encode()


def test_everybody_who_had_to_has_answered() -> None:
    answers = Answers("one", ["van7", "van8"])
    assert answers.take(result("van7", "accepted")) is not None
    assert answers.take(result("van7")) is not None
    assert not answers.complete
    assert answers.silent == ("van8",)
    assert answers.take(result("van8")) is not None
    assert answers.complete
    assert [answer.succeeded for answer in answers.finals.values()] == [True, True]


def test_one_failure_is_no_success() -> None:
    answers = Answers("one", ["van7"])
    answers.take(result("van7", "failed", code="no_frames"))
    assert answers.complete
    assert not answers.finals["van7"].succeeded


def test_an_answer_counts_once_and_those_to_other_orders_not_at_all() -> None:
    answers = Answers("one", ["van7"])
    assert answers.take(result("van7", order_id="two")) is None
    assert answers.take(result("van7", "accepted")) is not None
    assert answers.take(result("van7", "accepted")) is None
    assert answers.take(result("van7")) is not None
    assert answers.take(result("van7")) is None
    assert answers.take(result("van7", "accepted")) is None


def test_who_was_not_expected_is_heard_as_well() -> None:
    answers = Answers("one", ["van7"])
    answers.take(result("stranger", "rejected"))
    answers.take(result("van7"))
    assert answers.complete
    assert set(answers.finals) == {"stranger", "van7"}


def test_nobody_expected_is_never_complete() -> None:
    answers = Answers("one", [])
    answers.take(result("van7"))
    assert not answers.complete


def test_a_device_cannot_move_the_cursor_of_who_reads_its_answer() -> None:
    answer = read_answer(result("van7", message="\x1b[2Jall\r\nwell\u202e", warnings=["a\tb", 5]))
    assert answer is not None
    assert answer.message == " [2Jall  well "
    assert answer.warnings == ("a b", "")


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_rubbish_is_no_answer(payload: bytes) -> None:
    assert read_answer(payload) is None


@given(st.dictionaries(st.sampled_from(["device", "status", "took_ms", "message", "warnings", "code"]), st.integers()))
def test_wrong_types_are_no_answer(document: dict[str, int]) -> None:
    assert read_answer(json.dumps(document).encode()) is None


@given(st.text())
def test_plain_texts_are_printable(text: str) -> None:
    assert plain(text).isprintable()
