from __future__ import annotations

import pytest

from edge_agent.web.thrift import FEWEST, PERIOD, TRIES, Thrift

TRIAL = 2 * TRIES


class Sending:
    """Sends frames for a price in processor time, by the way that a `Thrift` chooses."""

    def __init__(self, file_s: float, memory_s: float) -> None:
        self.price_s = {True: file_s, False: memory_s}
        self.spent_s = 0.0
        self.readings = 0
        self.thrift = Thrift(self.read)

    def read(self) -> float:
        self.readings += 1
        return self.spent_s

    def send(self, viewers: int, extra_s: float = 0.0) -> bool:
        """One frame, which takes `extra_s` longer than usual; whether it went through a file."""
        from_file = self.thrift.choose(viewers)
        self.spent_s += self.price_s[from_file] + extra_s
        self.thrift.settle(viewers, from_file=from_file)
        return from_file


@pytest.mark.parametrize(("file_s", "memory_s", "from_file"), [(2.0, 3.0, True), (3.0, 2.0, False)])
def test_both_ways_are_tried_and_the_cheaper_one_is_taken(file_s: float, memory_s: float, from_file: bool) -> None:
    sending = Sending(file_s, memory_s)
    assert [sending.send(50) for _ in range(TRIAL)] == [True] * TRIES + [False] * TRIES
    assert {sending.send(50) for _ in range(PERIOD - TRIAL)} == {from_file}


def test_a_few_viewers_are_never_sent_to_from_a_file() -> None:
    sending = Sending(1.0, 2.0)
    assert not any(sending.send(FEWEST - 1) for _ in range(2 * PERIOD))
    assert sending.readings == 0


def test_the_cheaper_way_is_found_again_when_it_changes() -> None:
    sending = Sending(2.0, 3.0)
    for _ in range(PERIOD):
        sending.send(50)
    sending.price_s = {True: 4.0, False: 3.0}
    for _ in range(TRIAL):
        sending.send(50)
    assert not sending.send(50)


def test_twice_the_viewers_are_tried_at_once_and_a_few_more_are_not() -> None:
    sending = Sending(3.0, 2.0)
    for _ in range(TRIAL):
        sending.send(50)
    assert not sending.send(60)
    assert sending.send(120)


def test_a_trial_begins_again_when_viewers_come_during_it() -> None:
    sending = Sending(3.0, 2.0)
    for _ in range(TRIES):
        sending.send(40)
    assert [sending.send(50) for _ in range(TRIAL)] == [True] * TRIES + [False] * TRIES


def test_what_disturbs_single_frames_does_not_count() -> None:
    sending = Sending(2.0, 3.0)
    for number in range(TRIAL):
        sending.send(50, extra_s=0.0 if number % TRIES == 1 else 100.0)
    assert sending.send(50)


def test_the_time_is_read_during_trials_only() -> None:
    sending = Sending(2.0, 3.0)
    for _ in range(PERIOD):
        sending.send(50)
    assert sending.readings == 2 * TRIAL
