"""What is to be sent: state as the newest value per topic, facts as a bounded list. Knows no broker and no clock.

State (status, telemetry, pictures, discovery) is never kept while nobody is connected: each connection begins with a
greeting that holds all of it. Facts (events, results) are kept, oldest first, up to a limit; what did not fit is
counted. A fact counts as delivered when the broker has acknowledged it, so one may go out twice and none is lost in a
dying connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from edge_agent.mqtt.messages import Message

FACTS_KEPT = 1000
"""About an hour of two cameras' events with a broker away, and 500 kB of memory at most."""
FACT_BYTES_KEPT = 4 * 1024 * 1024
"""Limit for the rare large results, such as a long list of locked segments."""
WINDOW = 16
"""QoS 1 messages sent and not yet acknowledged: enough for 1000 messages a second at 16 ms of round trip."""


class Outbox:
    """Two lanes and what is in flight. Belongs to one thread.

    State goes first: it is bounded by the number of topics, so that facts never starve behind it.
    """

    def __init__(self, *, facts_kept: int = FACTS_KEPT, fact_bytes_kept: int = FACT_BYTES_KEPT) -> None:
        self._facts_kept = facts_kept
        self._fact_bytes_kept = fact_bytes_kept
        self._open = False
        self._state: dict[str, Message] = {}
        self._facts: deque[Message] = deque()
        self._fact_bytes = 0
        self._in_flight: dict[int, tuple[Message, bool]] = {}
        self._window = WINDOW
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Facts that were lost because the list was full, since the outbox was made."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """Messages that were not handed out yet."""
        return len(self._state) + len(self._facts)

    @property
    def settled(self) -> bool:
        """Whether everything was sent and acknowledged."""
        return not (self._state or self._facts or self._in_flight)

    def open(self, greeting: Iterable[Message], *, window: int = WINDOW) -> None:
        """Begin a connection: the greeting in its order, then facts and newer state.

        `window` is how many QoS 1 messages the broker takes unacknowledged.
        """
        self.close()
        self._open = True
        self._window = max(1, min(window, WINDOW))
        self._state = {message.topic: message for message in greeting}

    def close(self) -> None:
        """End a connection: state is forgotten, facts that were not acknowledged wait for the next one."""
        self._open = False
        self._state.clear()
        unconfirmed = [message for message, is_fact in self._in_flight.values() if is_fact]
        self._in_flight.clear()
        for message in reversed(unconfirmed):
            self._facts.appendleft(message)
            self._fact_bytes += len(message.payload)
        self._shed()

    def put_state(self, message: Message) -> None:
        """Send this value, in place of an older one of the same topic that was not sent yet."""
        if self._open:
            self._state[message.topic] = message

    def put_fact(self, message: Message) -> None:
        """Send this after all earlier facts, now or when connected again."""
        self._facts.append(message)
        self._fact_bytes += len(message.payload)
        self._shed()

    def take(self) -> tuple[Message, bool] | None:
        """The next message to hand to the client and whether it is a fact; None if nothing is due.

        `sent` has to follow for one that will be acknowledged.
        """
        if not self._open or len(self._in_flight) >= self._window:
            return None
        if self._state:
            return self._state.pop(next(iter(self._state))), False
        if self._facts:
            message = self._facts.popleft()
            self._fact_bytes -= len(message.payload)
            return message, True
        return None

    def sent(self, packet_id: int, message: Message, *, fact: bool) -> None:
        """A QoS 1 message is in the client's hands under this packet id."""
        self._in_flight[packet_id] = (message, fact)

    def acknowledged(self, packet_id: int) -> Message | None:
        """The broker has answered for this packet; None if it was not one of ours."""
        entry = self._in_flight.pop(packet_id, None)
        return None if entry is None else entry[0]

    def _shed(self) -> None:
        while len(self._facts) > self._facts_kept or self._fact_bytes > self._fact_bytes_kept:
            self._fact_bytes -= len(self._facts.popleft().payload)
            self._dropped += 1
