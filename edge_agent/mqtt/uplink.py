"""The one task that owns the connection: it keeps a session open, backs off, and sends what the outbox holds.

Each connection is an epoch: the caller subscribes and hands over a greeting, the greeting goes out in its order, then
what is new. What the greeting holds and what messages mean is the caller's matter.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.messages import Incoming, Message, MessageTooLarge
from edge_agent.mqtt.outbox import Outbox
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble
from edge_agent.wire.values import counted

log = logging.getLogger(__name__)

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
"""Full jitter between 0 and these: a thousand devices must not come back at once."""
STEADY_AFTER_S = 2.0
"""A connection that lived this long was a good one: the next try starts from the first delay again."""
CUT_SHORT_S = 3.0
CUTS_SUSPECTED = 2
"""So many connections in a row that ended this soon and without a reason mean that another client has our client id:
mosquitto does not say so, and two that fight over an id throw each other out once a second."""
DUPLICATE_DELAYS_S = (30.0, 60.0)
"""How long the second of two agents with one device id waits before it looks again."""
FAREWELL_TIMEOUT_S = 2.0
"""How long `stop` waits for the broker to take the last messages."""

TellProblem = Callable[[str, str | None], None]
"""Notes a problem by its code, or (with None) that it is over."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the caller does with a connection.

    `open` subscribes, may look around, and returns the greeting; it raises `BrokerUnavailable` to give the connection
    up. `received` takes every message from then on, also during `open`. `greeted` is called when the broker has
    everything that was in the greeting. `farewell` is what is said last, before a wanted end.
    """

    open: Callable[[Session], Awaitable[Sequence[Message]]]
    received: Callable[[Incoming], None]
    greeted: Callable[[], None]
    farewell: Callable[[], Sequence[Message]]


class Uplink:
    """Make it on the event loop, await `run` in a task of its own, end it by `stop` or by cancelling that task.

    `spare_client_id` is used once somebody else has connected with the endpoint's: taking it back would begin a fight.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        epoch: Epoch,
        tell: TellProblem,
        *,
        spare_client_id: str,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._endpoint = endpoint
        self._own_client_id = endpoint.client_id
        self._spare_client_id = spare_client_id
        self._epoch = epoch
        self._tell = tell
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._session: Session | None = None
        self._steady = False
        self._cuts = 0
        self._greeting = False
        self._pump_due = False
        self._trouble: Trouble | None = None
        self._denied: dict[str, str] = {}
        self._too_large: dict[str, str] = {}
        self._dropped_told = 0
        self._stop: asyncio.Future[None] = self._loop.create_future()
        self._left: asyncio.Future[None] | None = None
        self._settled: asyncio.Future[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether state goes out at once."""
        return self._session is not None

    @property
    def untended_s(self) -> float:
        """For how long nobody has looked after the connection, in seconds; 0 while there is none."""
        return 0.0 if self._session is None else self._loop.time() - self._session.tended_s

    def send_state(self, message: Message) -> None:
        """Publish the newest value of a topic; dropped while offline, because the greeting holds it."""
        self._outbox.put_state(message)
        self._pump_soon()

    def send_fact(self, message: Message) -> None:
        """Publish this now or after the next connect."""
        self._outbox.put_fact(message)
        self._pump_soon()

    def give_up(self, reason: BrokerUnavailable) -> None:
        """End this connection politely and back off as `reason` demands."""
        if self._session is not None:
            self._session.abandon(reason)

    async def run(self) -> None:
        """Stay connected until `stop`. Broker troubles never end it."""
        self._left = self._loop.create_future()
        attempt = 0
        try:
            while not self._stop.done():
                self._steady = False
                try:
                    await self._live()
                except BrokerUnavailable as error:
                    self._note(error)
                    attempt = 0 if self._steady else attempt
                    await asyncio.wait([self._stop], timeout=self._delay_s(error.trouble, attempt))
                    attempt += 1
        finally:
            self._left.set_result(None)

    async def stop(self) -> None:
        """Send what is left, say goodbye and end `run`. Gives up after a little more than `FAREWELL_TIMEOUT_S`."""
        if not self._stop.done():
            self._stop.set_result(None)
        if self._left is not None:
            await asyncio.wait([self._left], timeout=FAREWELL_TIMEOUT_S + 1)

    # ---- one connection

    async def _live(self) -> None:
        session = await Session.connect(self._endpoint, self)
        began_s = self._loop.time()
        try:
            greeting = await self._epoch.open(session)
            self._begin(session, greeting)
            ends: list[asyncio.Future[Any]] = [session.ended, self._stop]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not session.ended.done():
                await self._say_farewell(session)
                return
            lived_s = self._loop.time() - began_s
            self._steady = lived_s >= STEADY_AFTER_S
            self._cuts = self._cuts + 1 if lived_s < CUT_SHORT_S else 0
            raise self._suspected(session.ended.result())
        except asyncio.CancelledError:
            # There is no time left to wait for the broker; what fits into the socket's buffer still arrives.
            for message in self._epoch.farewell() if self._session is not None else ():
                session.publish(message)
            raise
        finally:
            self._session = None
            self._outbox.close()
            session.close()

    def _begin(self, session: Session, greeting: Sequence[Message]) -> None:
        endpoint = self._endpoint
        log.info("broker connected endpoint=%s client_id=%s", endpoint, endpoint.client_id)
        self._session = session
        self._greeting = True
        self._outbox.open(greeting, window=session.receive_maximum)
        self._pump_soon()
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            self._tell(trouble, None)
        self._tell_dropped()

    def _suspected(self, reason: BrokerUnavailable) -> BrokerUnavailable:
        if reason.trouble is not Trouble.LOST or self._cuts < CUTS_SUSPECTED:
            return reason
        self._cuts = 0
        if self._endpoint.client_id != self._own_client_id:
            return reason
        return BrokerUnavailable(
            Trouble.CLIENT_ID_TAKEN,
            f"{CUTS_SUSPECTED} connections in a row were cut right after the broker's welcome: another client seems to "
            f"use the MQTT client id {self._own_client_id}",
        )

    async def _say_farewell(self, session: Session) -> None:
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                await self._settle(session)
                for message in self._epoch.farewell():
                    self._outbox.put_state(message)
                self._pump_soon()
                await self._settle(session)
        except TimeoutError:
            log.warning("broker does not take the last messages endpoint=%s", self._endpoint)
            session.drop()

    async def _settle(self, session: Session) -> None:
        while not self._outbox.settled and not session.ended.done():
            self._settled = self._loop.create_future()
            either: list[asyncio.Future[Any]] = [self._settled, session.ended]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    def _note(self, error: BrokerUnavailable) -> None:
        trouble = error.trouble
        if trouble is not self._trouble:
            # As text: a log that keeps the error would keep the whole dead session with it.
            log.warning("broker unavailable trouble=%s endpoint=%s: %s", trouble, self._endpoint, str(error))
            if self._trouble is not None:
                self._tell(self._trouble, None)
        self._trouble = trouble
        if trouble is Trouble.CLIENT_ID_TAKEN:
            self._endpoint = replace(self._endpoint, client_id=self._spare_client_id)
            self._tell(trouble, f"{error}; this agent goes on as {self._spare_client_id}")
            self._trouble = None  # it stays named while the spare id is in use
            return
        if trouble in (Trouble.NOT_AUTHORISED, Trouble.REFUSED):
            # Some brokers know clients by their id: then the own one is the only way in.
            self._endpoint = replace(self._endpoint, client_id=self._own_client_id)
        self._tell(trouble, str(error))

    def _delay_s(self, trouble: Trouble, attempt: int) -> float:
        if trouble is Trouble.DUPLICATE_DEVICE:
            return self._jitter(*DUPLICATE_DELAYS_S)
        return self._jitter(0, min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempt, 10)))

    # ---- the session's calls

    def received(self, message: Incoming) -> None:
        """Pass a message on."""
        self._epoch.received(message)

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        """Note that the broker took a message, or why it did not."""
        message = self._outbox.acknowledged(packet_id)
        if message is None:
            return
        if refusal is not None:
            self._deny(self._denied, Trouble.ACL_PUBLISH, message.topic, refusal)
        else:
            if message.topic in self._denied:
                self._allow(self._denied, Trouble.ACL_PUBLISH, message.topic)
            _confirm(message)
        self._pump_soon()

    def writable(self) -> None:
        """Go on sending."""
        self._pump_soon()

    # ---- sending

    def _pump_soon(self) -> None:
        # Not at once: paho holds a lock during its callbacks, and those lead here.
        if not self._pump_due and self._session is not None:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        session = self._session
        while session is not None and session.can_write and (entry := self._outbox.take()) is not None:
            message, fact = entry
            try:
                packet_id = session.publish(message)
            except MessageTooLarge as error:
                self._deny(self._too_large, Trouble.TOO_LARGE, message.topic, str(error))
                continue
            if message.topic in self._too_large:
                self._allow(self._too_large, Trouble.TOO_LARGE, message.topic)
            if packet_id is not None:
                self._outbox.sent(packet_id, message, fact=fact)
            else:
                _confirm(message)
        if session is not None and self._outbox.settled:
            if self._greeting:
                self._greeting = False
                self._epoch.greeted()
            if self._settled is not None and not self._settled.done():
                self._settled.set_result(None)

    def _deny(self, denied: dict[str, str], trouble: Trouble, topic: str, reason: str) -> None:
        if denied.get(topic) != reason:
            denied[topic] = reason
            log.warning("broker does not take a message trouble=%s topic=%s reason=%s", trouble, topic, reason)
            self._tell(trouble, _denial(trouble, denied))

    def _allow(self, denied: dict[str, str], trouble: Trouble, topic: str) -> None:
        del denied[topic]
        self._tell(trouble, _denial(trouble, denied))

    def _tell_dropped(self) -> None:
        dropped = self._outbox.dropped
        lost, self._dropped_told = dropped - self._dropped_told, dropped
        told = f"{counted(lost, 'message')} lost: more events and results came than are kept while the broker is away"
        self._tell(Trouble.FACTS_LOST, told if lost else None)


def _confirm(message: Message) -> None:
    if message.taken is not None:
        message.taken()


def _denial(trouble: Trouble, denied: dict[str, str]) -> str | None:
    topics = ", ".join(sorted(denied))
    if not denied:
        return None
    if trouble is Trouble.TOO_LARGE:
        return f"{'; '.join(sorted(denied.values()))}; raise its message size limit"
    return f"the broker does not let this agent publish on {topics}; check its access rules"
