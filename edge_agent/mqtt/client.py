"""One paho client: made for an `Endpoint`, driven from outside, and speaking in this room's messages.

The only door to paho. Its own loop and thread are not used: `read`, `write` and `tend` are called by whoever owns the
socket. What comes of it is told by `Calls`, on the thread of the call that led to it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTT_LOG_ERR, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.mqtt.endpoint import Endpoint, open_socket
from edge_agent.mqtt.messages import Incoming, Message, Subscription

SESSION_EXPIRY_S = 60
"""How long an MQTT 5 broker keeps commands for an absent agent: over a flap, and no longer, not to surprise later."""
WILL_DELAY_S = 2
"""How long an MQTT 5 broker waits before it calls the agent `offline`, so that a flap does not show."""
RECEIVE_BYTES_MAX = 256 * 1024
"""What an MQTT 5 broker may send in one packet; larger commands are not even delivered."""
KEPT_BYTES_MAX = 64 * 1024
"""What is kept of a larger packet: enough to see that it is too large, and memory stays flat whatever its size."""
RECEIVE_MAXIMUM = 64


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the broker's CONNACK allows; for MQTT 3.1.1, what that version does. `largest_bytes` 0: any size."""

    receive_maximum: int = 65535
    largest_bytes: int = 0
    maximum_qos: int = 2
    retain_available: bool = True


@dataclass(frozen=True, slots=True)
class Calls:
    """Whom the client tells. `writing` and `idle` say whether there is something to write, maybe from another thread.

    Reasons and refusals are the broker's own words; in `subscribed` and `published` None means that it agrees.
    """

    writing: Callable[[], None]
    idle: Callable[[], None]
    closing: Callable[[], None]
    welcomed: Callable[[Welcome], None]
    turned_away: Callable[[str], None]
    disconnected: Callable[[str], None]
    subscribed: Callable[[int, list[str | None]], None]
    published: Callable[[int, str | None], None]
    arrived: Callable[[Incoming], None]


class _Bounded(bytearray):
    """The body of a packet being received; forgets what exceeds `KEPT_BYTES_MAX`."""

    def __iadd__(self, more: Any) -> Self:  # type: ignore[misc]  # takes what bytearray takes, keeps less
        room = KEPT_BYTES_MAX - len(self)
        return super().__iadd__(more[:room]) if room > 0 else self


class _Paho(Client):
    """paho with our socket: its own leaks one when a handshake fails, and has one timeout for everything."""

    endpoint: Endpoint

    def _create_socket(self) -> Any:
        return open_socket(self.endpoint)


class BrokerClient:
    """The client of one connection, with queues and packet ids of its own."""

    def __init__(self, endpoint: Endpoint, calls: Calls) -> None:
        self._endpoint = endpoint
        self._calls = calls
        self.last_error = ""
        """What paho complained about last, until the broker's welcome."""
        self._paho = self._make()

    def connect(self) -> None:
        """Look up, connect, shake hands and say CONNECT. Blocks for as long as the peer likes to.

        Raises `BrokerUnavailable`.
        """
        endpoint = self._endpoint
        options: dict[str, Any] = {}
        if endpoint.version_5:
            properties = _properties(
                PacketTypes.CONNECT,
                SessionExpiryInterval=SESSION_EXPIRY_S,
                ReceiveMaximum=RECEIVE_MAXIMUM,
                MaximumPacketSize=RECEIVE_BYTES_MAX,
            )
            options = {"clean_start": False, "properties": properties}
        self._paho.connect(endpoint.host, endpoint.port, endpoint.keepalive_s, **options)

    @property
    def descriptor(self) -> int | None:
        """The connection's socket, None without one."""
        sock = self._paho.socket()
        return None if sock is None else sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits to leave for the network."""
        return self._paho.want_write()

    def read(self) -> bool:
        """Take in what the socket has, one packet at the most; whether there is more that it will stay silent about."""
        packet = self._paho._in_packet  # noqa: SLF001 - paho has no limit of its own for a packet's size
        if not isinstance(packet["packet"], _Bounded):
            packet["packet"] = _Bounded(packet["packet"][:KEPT_BYTES_MAX])
        self._paho.loop_read()
        sock = self._paho.socket()
        # Several packets may come in one TLS record, and then the socket stays silent about all but the first.
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def write(self) -> None:
        """Write what waits, as far as the socket takes it."""
        self._paho.loop_write()

    def tend(self) -> None:
        """Ping a silent broker, and find out that it is dead. Call it about once a second."""
        self._paho.loop_misc()

    def subscribe(self, subscriptions: Sequence[Subscription]) -> int | None:
        """Ask for these; the packet id of the answer, None when the connection is gone."""
        options: list[Any] = [(one.topic_filter, self._options(one)) for one in subscriptions]
        rc, packet_id = self._paho.subscribe(options)
        return packet_id if rc == MQTT_ERR_SUCCESS else None

    def publish(self, message: Message, qos: int, retain: bool) -> int:
        """Hand over one message, at a QoS and with a flag that the broker takes; its packet id."""
        properties = self._publish_properties(message)
        return int(self._paho.publish(message.topic, message.payload, qos, retain, properties).mid)

    def free_socket(self) -> None:
        """Close the socket, if there is one; nobody is told."""
        sock = self._paho.socket()
        if sock is not None:
            sock.close()

    def say_goodbye(self) -> None:
        """Leave in peace: the broker keeps the last will to itself, and nothing for later."""
        version_5 = self._endpoint.version_5
        forget = _properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0) if version_5 else None
        self._paho.disconnect(properties=forget)
        self._paho.loop_write()

    # ---- paho's calls

    def _make(self) -> _Paho:
        endpoint, calls = self._endpoint, self._calls
        version_5 = endpoint.version_5
        paho = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            clean_session=None if version_5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        paho.endpoint = endpoint
        paho.username_pw_set(endpoint.username, endpoint.password)
        if (will := endpoint.will) is not None:
            delay = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=WILL_DELAY_S) if version_5 else None
            paho.will_set(will.topic, will.payload, will.qos, will.retain, delay)
        paho.on_socket_close = lambda *_: calls.closing()
        paho.on_socket_register_write = lambda *_: calls.writing()
        paho.on_socket_unregister_write = lambda *_: calls.idle()
        paho.on_log = self._on_log
        paho.on_connect = self._on_connect
        paho.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: calls.disconnected(str(reason))
        paho.on_subscribe = self._on_subscribe
        paho.on_publish = self._on_publish
        paho.on_message = self._on_message
        return paho

    def _on_log(self, _client: Client, _userdata: Any, level: int, text: str) -> None:
        if level == MQTT_LOG_ERR:
            self.last_error = text

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._calls.turned_away(str(reason))
            return
        client.on_log = None  # from here on it would cost a tenth of each message's time for nothing
        plain = Welcome()
        welcome = Welcome(
            getattr(properties, "ReceiveMaximum", plain.receive_maximum),
            getattr(properties, "MaximumPacketSize", plain.largest_bytes),
            getattr(properties, "MaximumQoS", plain.maximum_qos),
            bool(getattr(properties, "RetainAvailable", plain.retain_available)),
        )
        self._calls.welcomed(welcome)

    def _on_subscribe(
        self, _client: Client, _userdata: Any, packet_id: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._calls.subscribed(packet_id, [_refusal(reason) for reason in reasons])

    def _on_publish(
        self, _client: Client, _userdata: Any, packet_id: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._calls.published(packet_id, _refusal(reason))

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
        self._calls.arrived(incoming)

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


def _refusal(reason: ReasonCode) -> str | None:
    return str(reason) if reason.is_failure else None


def _properties(packet_type: int, **values: object) -> Any:
    """The MQTT 5 properties of a packet, by paho's names; None leaves one out."""
    properties: Any = Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    for name, value in values.items():
        if value is not None:
            setattr(properties, name, value)
    return properties
