"""The newest value of something, for any number of readers: frames, the status, the telemetry.

State travels as the newest snapshot: a reader that is late sees the newest value and misses those in between; nothing
is queued for it. Facts of which none may be missed (events, results) do not belong here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a camera, as it came from the camera program.

    `jpeg` is one whole JPEG from SOI to EOI. `captured_at` (aware, UTC) and `captured_mono_s` are one instant on both
    clocks: when its first byte arrived. `sequence` grows by one with every picture of this camera in the life of the
    agent, whatever the source.
    """

    jpeg: bytes = field(repr=False)
    captured_at: datetime
    captured_mono_s: float
    sequence: int


class Latest(Generic[T]):
    """A cell that holds the newest value that was put, and wakes those who wait for a newer one.

    Belongs to one thread, the event loop's. Only `newer` and iteration need a running loop.
    """

    def __init__(self) -> None:
        self._value: T | None = None
        self._count = 0
        self._callbacks: dict[object, Callable[[T], None]] = {}
        self._changed: asyncio.Future[None] | None = None

    @property
    def value(self) -> T | None:
        """The newest value, None before the first."""
        return self._value

    @property
    def count(self) -> int:
        """How many values were put so far; what `newer` takes as its mark."""
        return self._count

    def put(self, value: T) -> None:
        """Replace the value, call the subscribers in the order in which they came, wake those who wait.

        An error of a subscriber goes to the caller, after the value was replaced.
        """
        self._value = value
        self._count += 1
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)
        if self._callbacks:
            for callback in tuple(self._callbacks.values()):
                callback(value)

    def subscribe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` with every value put from now on; the returned function ends that and may be called twice."""
        key = object()
        self._callbacks[key] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(key, None)

        return unsubscribe

    async def newer(self, seen: int) -> T:
        """The newest value, once more than `seen` were put (`count` tells). Safe to cancel."""
        while self._count <= seen or self._value is None:
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            # Shielded, because the future is shared: one reader that gives up must not wake the others.
            await asyncio.shield(self._changed)
        return self._value

    async def __aiter__(self) -> AsyncIterator[T]:
        """The newest value if there is one, then each newer one; values put while the reader was busy are skipped."""
        seen = 0
        while True:
            value = await self.newer(seen)
            seen = self._count
            yield value
