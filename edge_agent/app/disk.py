"""One thread for one disk: what is done to footage is done in order, and never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from edge_agent.ports import Clock

P = ParamSpec("P")
T = TypeVar("T")


class Disk:
    """Runs blocking storage functions in its own thread, first come, first served. `close` it at the end."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._busy_since_mono_s: float | None = None

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the thread and return what it returns.

        A cancelled caller leaves the call to end by itself: a disk operation cannot be taken back half-way.
        """

        def call() -> T:
            self._busy_since_mono_s = self._clock.now().mono_s
            try:
                return function(*args, **kwargs)
            finally:
                self._busy_since_mono_s = None

        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    @property
    def stalled_s(self) -> float:
        """For how long the call under way has been waiting for the disk, in seconds; 0 when there is none."""
        since = self._busy_since_mono_s
        return 0.0 if since is None else self._clock.now().mono_s - since

    def close(self) -> None:
        """Wait for the calls under way and end the thread."""
        self._executor.shutdown(wait=True)
