"""One connection to the broker, from CONNECT to its loss, on the event loop itself. The only door to paho.

paho's own thread is not used: then a hung agent stops answering pings, and the broker publishes its last will. Every
connection has a paho client of its own, so that nothing of an old one (queues, packet ids, late callbacks) reaches
into the next. Backing off, what is sent and what messages mean is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Self

from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTT_LOG_ERR, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.mqtt.endpoint import Endpoint, open_socket
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
SESSION_EXPIRY_S = 60
"""How long an MQTT 5 broker keeps commands for an absent agent: over a flap, and no longer, not to surprise later."""
WILL_DELAY_S = 2
"""How long an MQTT 5 broker waits before it calls the agent `offline`, so that a flap does not show."""
RECEIVE_BYTES_MAX = 256 * 1024
"""What an MQTT 5 broker may send in one packet; larger commands are not even delivered."""
KEPT_BYTES_MAX = 64 * 1024
"""What is kept of a larger packet: enough to see that it is too large, and memory stays flat whatever its size."""
RECEIVE_MAXIMUM = 64
_TICK_S = 1.0
_HEADER_BYTES = 64
"""Room for fixed header, packet id and short properties when a message is held against the broker's limit."""


class _Bounded(bytearray):
    """The body of a packet being received; forgets what exceeds `KEPT_BYTES_MAX`."""

    def __iadd__(self, more: Any) -> Self:  # type: ignore[misc]  # takes what bytearray takes, keeps less
        room = KEPT_BYTES_MAX - len(self)
        return super().__iadd__(more[:room]) if room > 0 else self


class _Client(Client):
    """paho with our socket: its own leaks one when a handshake fails, and has one timeout for everything."""

    endpoint: Endpoint

    def _create_socket(self) -> Any:
        return open_socket(self.endpoint)


class Session:
    """One connection. Make it with `connect`; `ended` resolves when it is over. Belongs to the loop's thread."""

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        self._endpoint = endpoint
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[BrokerUnavailable] = self._loop.create_future()
        self.session_present = False
        self.receive_maximum = 65535
        self._largest_bytes = 0
        self._maximum_qos = 2
        self._retain_available = True
        self._subacks: dict[int, asyncio.Future[list[str | None]]] = {}
        self._descriptor: int | None = None
        self.tended_s = 0.0
        """When the connection was last looked after, on the loop's clock."""
        self._tick_handle: asyncio.TimerHandle | None = None
        self._last_error = ""
        self._abandoned = False
        self._client = self._make_client()

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
    def can_write(self) -> bool:
        """Whether everything handed over so far has left for the network."""
        return self._descriptor is not None and not self._client.want_write()

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
        options: list[Any] = [(one.topic_filter, self._options(one)) for one in subscriptions]
        rc, packet_id = self._client.subscribe(options)
        if rc != MQTT_ERR_SUCCESS or packet_id is None:
            raise BrokerUnavailable(Trouble.LOST, f"the connection to {self._endpoint} is gone")
        suback = self._subacks[packet_id] = self._loop.create_future()
        return suback

    def publish(self, message: Message) -> int | None:
        """Hand over one message and return its packet id, None at QoS 0. Raises `MessageTooLarge`.

        On a connection that has just ended it is silently lost: the caller learns of it by `ended`.
        """
        size_bytes = len(message.topic.encode()) + len(message.payload) + _HEADER_BYTES
        if self._largest_bytes and size_bytes > self._largest_bytes:
            raise MessageTooLarge(message.topic, self._largest_bytes)
        qos = min(message.qos, self._maximum_qos)
        retain = message.retain and self._retain_available
        info = self._client.publish(message.topic, message.payload, qos, retain, self._publish_properties(message))
        if self._descriptor is not None:
            self._client.loop_write()
        return info.mid if qos else None

    def abandon(self, reason: BrokerUnavailable) -> None:
        """Let `ended` resolve with this reason, so that the owner closes the session."""
        self._end(reason)

    def close(self) -> None:
        """Say goodbye to the broker, so that it keeps the last will to itself, and free the socket. May be repeated."""
        if self._descriptor is not None:
            forget = _properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0) if self._endpoint.version_5 else None
            self._client.disconnect(properties=forget)
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Free the socket without a goodbye: the broker publishes the last will. May be repeated."""
        self._abandoned = True
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        self._detach()
        self._free_socket()
        self._end(BrokerUnavailable(Trouble.LOST, "the session was closed"))

    # ---- connecting

    async def _reach(self) -> None:
        """Look up, connect and shake hands in a thread: paho blocks for as long as the peer likes to.

        The thread is a daemon, because a name server may keep it longer than the agent lives.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._reach_in_thread, args=(done,), name="mqtt-connect", daemon=True).start()
        await done

    def _reach_in_thread(self, done: asyncio.Future[None]) -> None:
        endpoint = self._endpoint
        failure: BrokerUnavailable | None = None
        try:
            options: dict[str, Any] = {}
            if endpoint.version_5:
                options = {
                    "clean_start": False,
                    "properties": _properties(
                        PacketTypes.CONNECT,
                        SessionExpiryInterval=SESSION_EXPIRY_S,
                        ReceiveMaximum=RECEIVE_MAXIMUM,
                        MaximumPacketSize=RECEIVE_BYTES_MAX,
                    ),
                }
            self._client.connect(endpoint.host, endpoint.port, endpoint.keepalive_s, **options)
        except BrokerUnavailable as error:
            failure = error
        # A loop that is closed by now has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._reached, done, failure)

    def _reached(self, done: asyncio.Future[None], failure: BrokerUnavailable | None) -> None:
        if self._abandoned or done.done():
            self._free_socket()
        elif failure is not None:
            done.set_exception(failure)
        else:
            done.set_result(None)

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            raise BrokerUnavailable(Trouble.LOST, "the connection broke at once")
        self._descriptor = sock.fileno()
        self._loop.add_reader(self._descriptor, self._readable)
        self._register_write()
        self.tended_s = self._loop.time()
        self._tick_handle = self._loop.call_later(_TICK_S, self._tick)

    def _detach(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)

    def _free_socket(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    # ---- the loop's calls

    def _readable(self) -> None:
        if self._descriptor is None:
            return
        packet = self._client._in_packet  # noqa: SLF001 - paho has no limit of its own for a packet's size
        if not isinstance(packet["packet"], _Bounded):
            packet["packet"] = _Bounded(packet["packet"][:KEPT_BYTES_MAX])
        self._client.loop_read()
        sock = self._client.socket()
        # Several packets may come in one TLS record, and then the socket stays silent about all but the first.
        if self._descriptor is not None and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._loop.call_soon(self._readable)

    def _writable(self) -> None:
        if self._descriptor is None:
            return
        self._client.loop_write()
        if self.can_write:
            self._listener.writable()

    def _tick(self) -> None:
        """Keep the connection alive and find out that it is dead."""
        self.tended_s = self._loop.time()
        self._client.loop_misc()
        if self._descriptor is not None:
            self._tick_handle = self._loop.call_later(_TICK_S, self._tick)

    def _register_write(self, *_: Any) -> None:
        # Also called from the connecting thread, before there is a descriptor.
        if self._descriptor is not None:
            self._loop.add_writer(self._descriptor, self._writable)

    def _unregister_write(self, *_: Any) -> None:
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)

    def _end(self, reason: BrokerUnavailable) -> None:
        if not self._connack.done():
            self._connack.set_exception(reason)
            self._connack.exception()  # may have no reader, if the connecting was cancelled
        if not self.ended.done():
            self.ended.set_result(reason)

    # ---- paho's calls

    def _make_client(self) -> Client:
        endpoint = self._endpoint
        version_5 = endpoint.version_5
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if version_5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.endpoint = endpoint
        client.username_pw_set(endpoint.username, endpoint.password)
        if (will := endpoint.will) is not None:
            delay = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=WILL_DELAY_S) if version_5 else None
            client.will_set(will.topic, will.payload, will.qos, will.retain, delay)
        client.on_socket_close = lambda *_: self._detach()
        client.on_socket_register_write = self._register_write
        client.on_socket_unregister_write = self._unregister_write
        client.on_log = self._on_log
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_log(self, _client: Client, _userdata: Any, level: int, text: str) -> None:
        if level == MQTT_LOG_ERR:
            self._last_error = text

    def _on_connect(self, _client: Client, _userdata: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            self._end(connack_trouble(str(reason), self._endpoint.username))
            return
        self._client.on_log = None  # from here on it would cost a tenth of each message's time for nothing
        self.session_present = flags.session_present
        self.receive_maximum = getattr(properties, "ReceiveMaximum", self.receive_maximum)
        self._largest_bytes = getattr(properties, "MaximumPacketSize", 0)
        self._maximum_qos = getattr(properties, "MaximumQoS", 2)
        self._retain_available = bool(getattr(properties, "RetainAvailable", 1))
        self._connack.set_result(None)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        endpoint = self._endpoint
        if self._connack.done():
            self._end(disconnect_trouble(str(reason), str(endpoint)))
        elif endpoint.tls is not None and "alert" in self._last_error.lower():
            self._end(tls_trouble(self._last_error, str(endpoint)))
        else:
            self._end(not_mqtt(str(endpoint)))

    def _on_subscribe(
        self, _client: Client, _userdata: Any, packet_id: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        suback = self._subacks.pop(packet_id, None)
        if suback is not None and not suback.done():
            suback.set_result([str(reason) if reason.is_failure else None for reason in reasons])

    def _on_publish(
        self, _client: Client, _userdata: Any, packet_id: int, reason: ReasonCode, _properties: Any
    ) -> None:
        # Not from within paho: a fault of ours would leave it halfway through the packet, to meet it again for ever.
        self._loop.call_soon(self._listener.acknowledged, packet_id, str(reason) if reason.is_failure else None)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # the contract has no such topic; brokers refuse it as well
        properties = message.properties
        incoming = Incoming(
            topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            message.mid,
            message.dup,
            expiry_s=getattr(properties, "MessageExpiryInterval", None),
            reply_to=getattr(properties, "ResponseTopic", None),
            correlation=getattr(properties, "CorrelationData", None),
            properties=tuple(getattr(properties, "UserProperty", ())),
        )
        self._loop.call_soon(self._listener.received, incoming)

    def _options(self, subscription: Subscription) -> SubscribeOptions | int:
        if not self._endpoint.version_5:
            return subscription.qos
        return SubscribeOptions(qos=subscription.qos, noLocal=True, retainAsPublished=subscription.as_published)

    def _publish_properties(self, message: Message) -> Any:
        if not self._endpoint.version_5:
            return None
        return _properties(
            PacketTypes.PUBLISH,
            MessageExpiryInterval=message.expiry_s,
            ContentType=message.content_type,
            ResponseTopic=message.reply_to,
            CorrelationData=message.correlation,
            UserProperty=list(message.properties) or None,
        )


def _properties(packet_type: int, **values: object) -> Any:
    """The MQTT 5 properties of a packet, by paho's names; None leaves one out."""
    properties: Any = Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties
