"""What every connection begins with: the newest of all state, in the order in which a broker is told it."""

from __future__ import annotations

from enum import IntEnum

from edge_agent.mqtt.messages import Message


class Rank(IntEnum):
    """The order of the greeting."""

    INFO = 0
    STATUS = 1
    TELEMETRY = 2
    CAMERA = 3
    DISCOVERY = 4
    PREVIEW = 5
    AVAILABILITY = 6
    SNAPSHOT = 7


class Greeting:
    """The newest message of each topic, by rank."""

    def __init__(self) -> None:
        self._newest: dict[Rank, dict[str, Message]] = {rank: {} for rank in Rank}

    def put(self, rank: Rank, message: Message) -> None:
        """Keep a message in place of the one before it on its topic."""
        self._newest[rank][message.topic] = message

    def messages(self, *, without: Rank | None = None) -> list[Message]:
        """Everything in its order, but for one rank if asked."""
        return [message for rank in Rank if rank is not without for message in self.of(rank)]

    def of(self, rank: Rank) -> list[Message]:
        """What is said at one rank."""
        return list(self._newest[rank].values())
