"""`GET /api/history`: what a page that is opened now has missed: the last measurements, for curves, and events.

Kept in memory, from the agent's start on. Whoever wants more subscribes over MQTT and stores it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from edge_agent.web.guard import Guard
from edge_agent.web.tokens import Role

if TYPE_CHECKING:
    from edge_agent.web.feed import Feed

KEPT_MEASUREMENTS = 240
"""Two hours at the usual interval of 30 s, 20 kB as JSON."""
KEPT_EVENTS = 100
CURVES: Mapping[str, tuple[str, ...]] = {
    "at": ("at",),
    "cpu_percent": ("cpu_percent",),
    "memory_percent": ("memory_percent",),
    "temperature_c": ("temperature_c",),
    "disk_free_bytes": ("disk", "free_bytes"),
}
"""The columns, each with where it stands in the telemetry document."""


class History:
    """The newest measurements and events, oldest first. Call from the event loop only."""

    def __init__(self) -> None:
        self._measured: deque[tuple[Any, ...]] = deque(maxlen=KEPT_MEASUREMENTS)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=KEPT_EVENTS)

    def telemetry(self, document: Mapping[str, Any]) -> None:
        """Note what was measured."""
        self._measured.append(tuple(reach(document, path) for path in CURVES.values()))

    def event(self, document: Mapping[str, Any]) -> None:
        """Note what happened."""
        self._events.append(document)

    def document(self) -> dict[str, Any]:
        """Measurements by column, so that names are not repeated, and events."""
        columns = zip(*self._measured, strict=True) if self._measured else ((),) * len(CURVES)
        return {
            "v": 1,
            "telemetry": {name: list(column) for name, column in zip(CURVES, columns, strict=True)},
            "events": list(self._events),
        }


def reach(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What stands in a document at `path`; None where the way there ends before."""
    value: Any = document
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


class Past(Guard):
    """`GET /api/history`."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    def get(self) -> None:
        self.send_json(self._feed.history.document())
