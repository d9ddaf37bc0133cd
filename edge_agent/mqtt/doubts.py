"""Over MQTT 3.1.1 a live message does not show that its sender had it retained: a look at what the broker keeps does.

Subscribing again makes a broker send what it keeps, with the retain flag set. A command waits for that, which takes one
way there and back; those that come meanwhile wait for the next look, all together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edge_agent.mqtt.intake import Intake, RawCommand
from edge_agent.mqtt.messages import Incoming, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.trouble import BrokerUnavailable

LOOK_S = 2.0
"""How long a broker may take to show what it keeps. A command for which it does not is obeyed."""


class Doubts:
    """Commands that may be retained ones. Make it on the event loop; `submit` gets each, with `retained` set or not.

    `last` is a topic on which the broker keeps nothing: the answer to its subscription comes after all that is kept.
    """

    def __init__(self, intake: Intake, last: str, submit: Callable[[RawCommand], None]) -> None:
        self._intake = intake
        self._last = Subscription(last)
        self._submit = submit
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._waiting: list[tuple[Incoming, RawCommand]] = []
        self._looked_at: list[tuple[Incoming, RawCommand]] = []
        self._look_number = 0
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, session: Session) -> None:
        """Look by way of this connection from now on."""
        self._session = session

    def takes(self, message: Incoming, raw: RawCommand) -> bool:
        """Whether this is answered from here: a live command, when it is known; a kept one, if it waits here."""
        if message.retain:
            held = (*self._looked_at, *self._waiting)
            return any((one.topic, one.payload) == (message.topic, message.payload) for one, _ in held)
        if raw.refusal is None:
            self._waiting.append((message, raw))
            if not self._looked_at:
                self._look()
        return raw.refusal is None

    def close(self) -> None:
        """Let go of what waits."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._looked_at, self._waiting = self._waiting, []
        decide = partial(self._decide, self._look_number)
        self._timer = self._loop.call_later(LOOK_S, decide)
        if self._session is None:
            return
        self._intake.begin()
        try:
            self._session.ask(self._intake.subscriptions)
            self._session.ask([self._last]).add_done_callback(decide)
        except BrokerUnavailable:
            pass  # the timer comes

    def _decide(self, look_number: int, _answer: object = None) -> None:
        if look_number != self._look_number:
            return
        self._look_number += 1
        self.close()
        self._intake.greeted()
        decided, self._looked_at = self._looked_at, []
        for message, raw in decided:
            self._submit(replace(raw, retained=self._intake.keeps(message)))
        if self._waiting:
            self._look()
