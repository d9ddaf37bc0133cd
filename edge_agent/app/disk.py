"""One thread for one disk: what is done to footage is done in order, and never on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from edge_agent.ports import Clock

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_PATIENCE_S = 5.0
"""How long an agent that leaves waits for a call under way: on a dead disk it may never return."""

log = logging.getLogger(__name__)


class Disk:
    """Runs blocking storage functions in its own thread, first come, first served. `close` it at the end."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._busy_since_mono_s: float | None = None

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the thread and return what it returns.

        A cancelled caller leaves the call to be made by itself: what an agent that leaves wanted written is written.
        """
        # Without the shield a call that still waits for its turn would be dropped.
        return await asyncio.shield(asyncio.wrap_future(self.submit(function, *args, **kwargs)))

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call; `close` waits for it, whether anybody else does or not."""

        def call() -> T:
            self._busy_since_mono_s = self._clock.now().mono_s
            try:
                return function(*args, **kwargs)
            finally:
                self._busy_since_mono_s = None

        return self._executor.submit(call)

    @property
    def stalled_s(self) -> float:
        """For how long the call under way has been waiting for the disk, in seconds; 0 when there is none."""
        since = self._busy_since_mono_s
        return 0.0 if since is None else self._clock.now().mono_s - since

    def close(self, patience_s: float = CLOSE_PATIENCE_S) -> bool:
        """Wait for the calls under way and end the thread. False when the disk did not answer in time."""
        last = self._executor.submit(lambda: None)
        self._executor.shutdown(wait=False)
        try:
            last.result(patience_s)
        except TimeoutError:
            log.warning("leaving without waiting for a disk that does not answer: thread=%s", self.name)
            return False
        return True
