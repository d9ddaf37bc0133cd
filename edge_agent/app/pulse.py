"""Whether the agent is well enough to be kept alive: what the service manager's watchdog is fed by."""

from __future__ import annotations

import asyncio

from edge_agent.app.runs import Runs
from edge_agent.app.stores import Stores
from edge_agent.mqtt.gateway import Gateway

INTERVALS = 2.0
"""For how many of the watchdog's intervals something may stand still: a minute with the 30 s of the service file."""


class Pulse:
    """Looks at the parts that can hang while the loop turns; that it turns is proved by the call.

    `connection` is the task of the broker's connection, once it was started, `gateway` what it serves.
    """

    def __init__(self, stores: Stores, runs: Runs, watchdog_s: float | None) -> None:
        self.connection: asyncio.Task[None] | None = None
        self.gateway: Gateway | None = None
        self._stores = stores
        self._runs = runs
        self._limit_s = INTERVALS * (watchdog_s or 0.0)

    def trouble(self) -> str | None:
        """Why the watchdog must not be fed; None while all is well.

        A disk that answers nobody is no reason: a new agent would not be answered either, and there would be nobody to
        say so. One thread that hangs on it alone is.
        """
        stores = self._stores
        if self.connection is not None and self.connection.done():
            return "the task of the broker's connection has ended"
        if self.gateway is not None and self.gateway.untended_s > self._limit_s:
            return "nobody tends the broker's connection"
        if stores.state.stalled_s > self._limit_s:
            return "a call to the state directory does not return"
        if stores.probing.stalled_s > self._limit_s:
            return None
        if stores.footage.stalled_s > self._limit_s:
            return "a call to the recording volume does not return, though the volume answers"
        if (run_id := self._runs.unattended(self._limit_s)) is not None:
            return f"nobody looks after the recording {run_id}"
        return None
