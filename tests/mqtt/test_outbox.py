from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.mqtt.messages import Message
from edge_agent.mqtt.outbox import WINDOW, Outbox


def message(topic: str, number: int = 0, qos: int = 1) -> Message:
    return Message(topic, str(number).encode(), qos=qos)


def drain(outbox: Outbox, *, acknowledge: bool = True) -> list[Message]:
    """Take what is due, as the uplink does."""
    taken = []
    while (entry := outbox.take()) is not None:
        one, fact = entry
        taken.append(one)
        if one.qos:
            outbox.sent(len(taken), one, fact=fact)
            if acknowledge:
                outbox.acknowledged(len(taken))
    return taken


def test_nothing_is_due_while_nobody_is_connected() -> None:
    outbox = Outbox()
    outbox.put_state(message("status"))
    outbox.put_fact(message("event"))
    assert outbox.take() is None


def test_state_of_the_time_before_a_connection_is_not_sent_and_facts_are() -> None:
    outbox = Outbox()
    outbox.put_state(message("status", 1))
    outbox.put_fact(message("event", 1))
    outbox.open([message("info"), message("status", 2)])
    assert drain(outbox) == [message("info"), message("status", 2), message("event", 1)]
    assert outbox.settled


def test_the_newest_value_takes_the_place_of_one_that_was_not_sent_yet() -> None:
    outbox = Outbox()
    outbox.open([message("info"), message("status", 1), message("online")])
    outbox.put_state(message("status", 2))
    assert drain(outbox) == [message("info"), message("status", 2), message("online")]


def test_facts_that_were_not_acknowledged_go_out_again_in_their_order() -> None:
    outbox = Outbox()
    outbox.open([message("info")])
    for number in range(3):
        outbox.put_fact(message("event", number))
    assert len(drain(outbox, acknowledge=False)) == 4
    assert not outbox.settled
    outbox.acknowledged(2)
    outbox.close()
    outbox.put_fact(message("event", 3))
    outbox.open([])
    assert drain(outbox) == [message("event", 1), message("event", 2), message("event", 3)]


def test_no_more_is_handed_out_than_the_broker_acknowledges() -> None:
    outbox = Outbox()
    outbox.open([message(f"t{number}") for number in range(100)], window=3)
    assert len(drain(outbox, acknowledge=False)) == 3
    outbox.acknowledged(1)
    assert outbox.take() is not None
    outbox.open([message(f"t{number}") for number in range(100)], window=60000)
    assert len(drain(outbox, acknowledge=False)) == WINDOW


def test_what_does_not_fit_is_counted_and_the_oldest_goes() -> None:
    outbox = Outbox(facts_kept=3)
    for number in range(5):
        outbox.put_fact(message("event", number))
    assert outbox.dropped == 2
    outbox.open([])
    assert drain(outbox) == [message("event", number) for number in (2, 3, 4)]


def test_large_facts_count_by_their_size() -> None:
    outbox = Outbox(fact_bytes_kept=1000)
    for _ in range(3):
        outbox.put_fact(Message("result", bytes(400)))
    assert outbox.dropped == 1
    assert outbox.waiting == 2


class OutboxAgainstABroker(RuleBasedStateMachine):
    """No fact is lost uncounted, none overtakes another, and state is never older than what went out."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(facts_kept=5)
        self.open = False
        self.put = 0
        self.in_flight: dict[int, Message] = {}
        self.next_packet = 1
        self.delivered: list[int] = []
        self.newest: dict[str, int] = {}

    @rule()
    def fact(self) -> None:
        self.outbox.put_fact(message("event", self.put))
        self.put += 1

    @rule(topic=st.sampled_from(["status", "telemetry"]))
    def state(self, topic: str) -> None:
        self.newest[topic] = self.newest.get(topic, 0) + 1
        self.outbox.put_state(message(topic, self.newest[topic]))

    @precondition(lambda self: not self.open)
    @rule()
    def connect(self) -> None:
        self.open = True
        self.outbox.open([message(topic, number) for topic, number in self.newest.items()])

    @precondition(lambda self: self.open)
    @rule()
    def lose(self) -> None:
        self.open = False
        self.in_flight.clear()
        self.outbox.close()

    @precondition(lambda self: self.open)
    @rule()
    def send(self) -> None:
        entry = self.outbox.take()
        if entry is None:
            return
        one, fact = entry
        assert fact == (one.topic == "event")
        if not fact:
            assert int(one.payload) == self.newest[one.topic]
        self.outbox.sent(self.next_packet, one, fact=fact)
        self.in_flight[self.next_packet] = one
        self.next_packet += 1

    @precondition(lambda self: self.in_flight)
    @rule()
    def acknowledge(self) -> None:
        packet_id = next(iter(self.in_flight))
        one = self.in_flight.pop(packet_id)
        assert self.outbox.acknowledged(packet_id) == one
        if one.topic == "event":
            self.delivered.append(int(one.payload))

    @invariant()
    def delivered_in_order_and_once(self) -> None:
        assert self.delivered == sorted(set(self.delivered))

    @invariant()
    def nothing_is_lost_uncounted(self) -> None:
        waiting_or_flying = self.put - len(self.delivered) - self.outbox.dropped
        assert waiting_or_flying >= 0
        if not self.open:
            assert waiting_or_flying == self.outbox.waiting


TestOutboxAgainstABroker = OutboxAgainstABroker.TestCase
