"""A look at what a broker has kept on topics that are not ours to listen to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.mqtt.messages import Incoming, Subscription

TRIES = 2
"""Some brokers cut the connection of who subscribes to what it may not read: once may be chance, twice is an answer."""


@dataclass(slots=True)
class Lookout:
    """What to look for, who is told the topics that were found, and what came so far.

    In `topic_filter` a `+` stands for any level.
    """

    topic_filter: str
    found: Callable[[tuple[str, ...]], None]
    _topics: dict[str, None] = field(default_factory=dict)
    _tries: int = TRIES

    def subscriptions(self) -> list[Subscription]:
        """What to subscribe to on this connection; nothing when it is no use any more."""
        if self._tries == 0:
            return []
        self._tries -= 1
        return [Subscription(self.topic_filter)]

    def takes(self, message: Incoming) -> bool:
        """Note a message if it is one of those; False for any other."""
        levels, wanted = message.topic.split("/"), self.topic_filter.split("/")
        fits = len(levels) == len(wanted) and all(
            one in ("+", level) for level, one in zip(levels, wanted, strict=True)
        )
        if fits and message.retain:
            self._topics[message.topic] = None
        return fits

    def tell(self) -> None:
        """Tell what was found."""
        self.found(tuple(self._topics))
