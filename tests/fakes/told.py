"""What was told to the core, kept in order for a test to wait for."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from edge_agent.core.events import Event

PATIENCE_S = 30
E = TypeVar("E", bound=Event)


class Told:
    """A `ports.Post` that keeps what it is given. Belongs to the event loop."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def post(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    async def first(self, kind: type[E]) -> E:
        """The first event of a kind, as soon as it has come."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := [one for one in self.events if isinstance(one, kind)]):
                self._more.clear()
                await self._more.wait()
        return found[0]
