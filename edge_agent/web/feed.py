"""`GET /api/live`: what MQTT subscribers hear, for pages: `{"type": ..., "data": the document}`, newest of each first.

State travels as the newest value, facts in order: a page that reads slowly skips statuses and telemetry, and is sent
away when it falls too many facts behind; it then connects again and begins with the newest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from tornado.websocket import WebSocketClosedError

from edge_agent.latest import Latest
from edge_agent.web.guard import GuardedSocket
from edge_agent.web.history import History
from edge_agent.web.tokens import Role
from edge_agent.wire import encode

Kind = Literal["status", "telemetry", "event", "result"]

MAX_BEHIND = 200
"""Facts kept for one page; a recording with two cameras tells two a minute."""
GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013


class Feed:
    """Tells every page of each document that is put into one of the cells, and new pages of the newest of each.

    Call from the event loop only.
    """

    def __init__(self, cells: Mapping[Kind, Latest[dict[str, Any]]]) -> None:
        self._cells = cells
        self._pages: set[Page] = set()
        self._ends: list[Callable[[], None]] = []
        self.history = History()

    @property
    def pages(self) -> int:
        """How many pages listen."""
        return len(self._pages)

    def start(self) -> None:
        """Listen to the cells."""
        for kind, cell in self._cells.items():
            if cell.value is not None:
                self._note(kind, cell.value)
            self._ends.append(cell.subscribe(lambda document, kind=kind: self._tell(kind, document)))  # type: ignore[misc]

    def stop(self) -> None:
        """Send every page away."""
        for end in self._ends:
            end()
        for page in tuple(self._pages):
            page.close(GOING_AWAY, "the agent is stopping")

    def _tell(self, kind: Kind, document: Mapping[str, Any]) -> None:
        self._note(kind, document)
        if self._pages:
            message = _message(kind, document)
            for page in tuple(self._pages):
                page.offer(kind, message)

    def _note(self, kind: Kind, document: Mapping[str, Any]) -> None:
        if kind == "telemetry":
            self.history.telemetry(document)
        elif kind == "event":
            self.history.event(document)

    def join(self, page: Page) -> None:
        """Give a page the newest of each, and from now on everything."""
        self._pages.add(page)
        for kind, cell in self._cells.items():
            if cell.value is not None:
                page.offer(kind, _message(kind, cell.value))

    def leave(self, page: Page) -> None:
        self._pages.discard(page)


def _message(kind: Kind, document: Mapping[str, Any]) -> bytes:
    return b'{"type":"%s","data":%s}' % (kind.encode(), encode(document))


class Page(GuardedSocket):
    """One page that listens. What it says is ignored."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def initialize(self, feed: Feed) -> None:
        self._feed = feed
        self._states: dict[Kind, bytes] = {}
        self._facts: deque[tuple[Kind, bytes]] = deque()
        self._sending = False

    def open(self) -> None:
        self.set_nodelay(True)
        self._feed.join(self)

    def on_message(self, message: str | bytes) -> None:
        """Nothing: commands go through POST, where roles are checked."""

    def on_close(self) -> None:
        self._feed.leave(self)

    def offer(self, kind: Kind, message: bytes) -> None:
        """Send a message, or keep it until the page has taken the one before."""
        if kind in ("status", "telemetry"):
            self._states[kind] = message
        elif len(self._facts) < MAX_BEHIND:
            self._facts.append((kind, message))
        else:
            self._feed.leave(self)
            self.close(TRY_AGAIN_LATER, "too slow")
            return
        self._send()

    def _send(self) -> None:
        while not self._sending and (message := self._next()) is not None:
            try:
                sent = self.write_message(message.decode())
            except WebSocketClosedError:
                self._feed.leave(self)
                return
            if not sent.done():
                self._sending = True
                sent.add_done_callback(self._sent)

    def _next(self) -> bytes | None:
        if self._states:
            return self._states.pop(next(iter(self._states)))
        return self._facts.popleft()[1] if self._facts else None

    def _sent(self, sent: asyncio.Future[None]) -> None:
        self._sending = False
        if sent.cancelled() or sent.exception() is not None:
            self._feed.leave(self)
            return
        self._send()
