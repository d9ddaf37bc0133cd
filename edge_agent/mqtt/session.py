"""One connection to the broker, from CONNECT to its loss, on the event loop itself.

No thread of its own is used: then a hung agent stops answering pings, and the broker publishes its last will. Every
connection has a client of its own (`client.py`), so that nothing of an old one reaches into the next. Backing off, what
is sent and what messages mean is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from typing import Any

from edge_agent.mqtt.client import BrokerClient, Calls, Welcome
from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.messages import Incoming, Listener, Message, MessageTooLarge, Subscription
from edge_agent.mqtt.trouble import (
    BrokerUnavailable,
    Trouble,
    connack_trouble,
    disconnect_trouble,
    not_mqtt,
    silence,
    tls_trouble,
)

ANSWER_TIMEOUT_S = 10.0
"""For SUBACK."""
_TICK_S = 1.0
_HEADER_BYTES = 64
"""Room for fixed header, packet id and short properties when a message is held against the broker's limit."""


class Session:
    """One connection. Make it with `connect`; `ended` resolves when it is over. Belongs to the loop's thread."""

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        self._endpoint = endpoint
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[BrokerUnavailable] = self._loop.create_future()
        self._allowed = Welcome()
        self._subacks: dict[int, asyncio.Future[list[str | None]]] = {}
        self._descriptor: int | None = None
        self.tended_s = 0.0
        """When the connection was last looked after, on the loop's clock."""
        self._tick_handle: asyncio.TimerHandle | None = None
        self._abandoned = False
        self._client = BrokerClient(endpoint, self._calls())

    @classmethod
    async def connect(cls, endpoint: Endpoint, listener: Listener) -> Session:
        """Reach the broker and be welcomed. Raises `BrokerUnavailable`. Safe to cancel."""
        session = cls(endpoint, listener)
        welcome = False
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                await session._reach()
                session._attach()
                await session._connack
            welcome = True
        except TimeoutError:
            raise silence(str(endpoint), reached=session._tick_handle is not None) from None
        finally:
            if not welcome:
                session.close()
        return session

    @property
    def receive_maximum(self) -> int:
        """How many messages the broker takes before it has acknowledged the first."""
        return self._allowed.receive_maximum

    @property
    def can_write(self) -> bool:
        """Whether everything handed over so far has left for the network."""
        return self._descriptor is not None and not self._client.wants_write

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> dict[str, str]:
        """Subscribe and return the filters that the broker refused, with its reasons.

        Raises `BrokerUnavailable` when the connection ends meanwhile or no answer comes.
        """
        suback = self.ask(subscriptions)
        either: list[asyncio.Future[Any]] = [suback, self.ended]
        await asyncio.wait(either, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if suback.done():
            answers = zip(subscriptions, suback.result(), strict=False)
            return {one.topic_filter: reason for one, reason in answers if reason is not None}
        if self.ended.done():
            raise self.ended.result()
        raise BrokerUnavailable(Trouble.NO_ANSWER, "the broker does not answer a subscription")

    def ask(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[str | None]]:
        """Subscribe without waiting; the reasons of refusals, if an answer comes. Raises `BrokerUnavailable`."""
        packet_id = self._client.subscribe(subscriptions)
        if packet_id is None:
            raise BrokerUnavailable(Trouble.LOST, f"the connection to {self._endpoint} is gone")
        suback = self._subacks[packet_id] = self._loop.create_future()
        return suback

    def publish(self, message: Message) -> int | None:
        """Hand over one message and return its packet id, None at QoS 0. Raises `MessageTooLarge`.

        On a connection that has just ended it is silently lost: the caller learns of it by `ended`.
        """
        allowed = self._allowed
        size_bytes = len(message.topic.encode()) + len(message.payload) + _HEADER_BYTES
        if allowed.largest_bytes and size_bytes > allowed.largest_bytes:
            raise MessageTooLarge(message.topic, allowed.largest_bytes)
        qos = min(message.qos, allowed.maximum_qos)
        packet_id = self._client.publish(message, qos, message.retain and allowed.retain_available)
        if self._descriptor is not None:
            self._client.write()
        return packet_id if qos else None

    def abandon(self, reason: BrokerUnavailable) -> None:
        """Let `ended` resolve with this reason, so that the owner closes the session."""
        self._end(reason)

    def close(self) -> None:
        """Say goodbye to the broker, so that it keeps the last will to itself, and free the socket. May be repeated."""
        if self._descriptor is not None:
            self._client.say_goodbye()
        self.drop()

    def drop(self) -> None:
        """Free the socket without a goodbye: the broker publishes the last will. May be repeated."""
        self._abandoned = True
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        self._detach()
        self._client.free_socket()
        self._end(BrokerUnavailable(Trouble.LOST, "the session was closed"))

    # ---- connecting

    async def _reach(self) -> None:
        """Look up, connect and shake hands in a thread: it blocks for as long as the peer likes to.

        The thread is a daemon, because a name server may keep it longer than the agent lives.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._reach_in_thread, args=(done,), name="mqtt-connect", daemon=True).start()
        await done

    def _reach_in_thread(self, done: asyncio.Future[None]) -> None:
        failure: BrokerUnavailable | None = None
        try:
            self._client.connect()
        except BrokerUnavailable as error:
            failure = error
        # A loop that is closed by now has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._reached, done, failure)

    def _reached(self, done: asyncio.Future[None], failure: BrokerUnavailable | None) -> None:
        if self._abandoned or done.done():
            self._client.free_socket()
        elif failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(None)

    def _attach(self) -> None:
        descriptor = self._descriptor = self._client.descriptor
        if descriptor is None:
            raise BrokerUnavailable(Trouble.LOST, "the connection broke at once")
        self._loop.add_reader(descriptor, self._readable)
        self._register_write()
        self.tended_s = self._loop.time()
        self._tick_handle = self._loop.call_later(_TICK_S, self._tick)

    def _detach(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)

    # ---- the loop's calls

    def _readable(self) -> None:
        if self._descriptor is None:
            return
        more = self._client.read()
        if more and self._descriptor is not None:
            self._loop.call_soon(self._readable)

    def _writable(self) -> None:
        if self._descriptor is None:
            return
        self._client.write()
        if self.can_write:
            self._listener.writable()

    def _tick(self) -> None:
        """Keep the connection alive and find out that it is dead."""
        self.tended_s = self._loop.time()
        self._client.tend()
        if self._descriptor is not None:
            self._tick_handle = self._loop.call_later(_TICK_S, self._tick)

    def _register_write(self) -> None:
        # Also called from the connecting thread, before there is a descriptor.
        if self._descriptor is not None:
            self._loop.add_writer(self._descriptor, self._writable)

    def _unregister_write(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)

    def _end(self, reason: BrokerUnavailable) -> None:
        if not self._connack.done():
            self._connack.set_exception(reason)
            self._connack.exception()  # may have no reader, if the connecting was cancelled
        if not self.ended.done():
            self.ended.set_result(reason)

    # ---- the client's calls

    def _calls(self) -> Calls:
        return Calls(
            writing=self._register_write,
            idle=self._unregister_write,
            closing=self._detach,
            welcomed=self._welcomed,
            turned_away=self._turned_away,
            disconnected=self._disconnected,
            subscribed=self._subscribed,
            published=self._published,
            arrived=self._arrived,
        )

    def _welcomed(self, welcome: Welcome) -> None:
        if not self._connack.done():
            self._allowed = welcome
            self._connack.set_result(None)

    def _turned_away(self, reason: str) -> None:
        if not self._connack.done():
            self._end(connack_trouble(reason, self._endpoint.username))

    def _disconnected(self, reason: str) -> None:
        endpoint, last_error = self._endpoint, self._client.last_error
        if self._connack.done():
            self._end(disconnect_trouble(reason, str(endpoint)))
        elif endpoint.tls is not None and "alert" in last_error.lower():
            self._end(tls_trouble(last_error, str(endpoint)))
        else:
            self._end(not_mqtt(str(endpoint)))

    def _subscribed(self, packet_id: int, refusals: list[str | None]) -> None:
        suback = self._subacks.pop(packet_id, None)
        if suback is not None and not suback.done():
            suback.set_result(refusals)

    # Not told from within the client: a fault of ours would leave it halfway through the packet, to meet it for ever.

    def _published(self, packet_id: int, refusal: str | None) -> None:
        self._loop.call_soon(self._listener.acknowledged, packet_id, refusal)

    def _arrived(self, message: Incoming) -> None:
        self._loop.call_soon(self._listener.received, message)
