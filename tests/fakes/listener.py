"""A client that notes every message it gets, for tests that look at the agent from outside."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

TIMEOUT_S = 20.0
"""Long enough for a machine that is busy with other tests."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message; `properties` holds the MQTT 5 properties by their paho names."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.payload.decode()

    @property
    def document(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        document: dict[str, Any] = json.loads(self.payload)
        return document


class Listener:
    """Subscribes on entry and connects again by itself; `heard` is in the order of arrival, retained flags as sent."""

    def __init__(self, port: int, *filters: str, username: str | None = None, password: str | None = None) -> None:
        self.heard: list[Heard] = []
        self._filters = filters
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._port = port

    def publish(
        self, topic: str, payload: str | bytes = b"", *, retain: bool = False, qos: int = 1, **properties: Any
    ) -> None:
        """Publish and wait for the broker's acknowledgement; keywords are MQTT 5 properties by their paho names."""
        packed: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        for name, value in properties.items():
            setattr(packed, name, value)
        self._client.publish(topic, payload, qos, retain, packed).wait_for_publish(TIMEOUT_S)

    def of(self, topic: str) -> list[Heard]:
        """What came on one topic so far."""
        with self._changed:
            return [heard for heard in self.heard if heard.topic == topic]

    async def until(self, wanted: Callable[[list[Heard]], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """Wait until `wanted` finds something true in all that was heard, and return that."""
        return await asyncio.to_thread(self.wait, wanted, timeout_s)

    def wait(self, wanted: Callable[[list[Heard]], Any], timeout_s: float = TIMEOUT_S) -> Any:
        """`until` for tests without an event loop."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (found := wanted(self.heard)):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    lines = "\n".join(f"{heard.topic}: {heard.payload[:200]!r}" for heard in self.heard[-30:])
                    raise AssertionError(f"not heard within {timeout_s} s; the last ones were:\n{lines}")
            return found

    async def message(self, topic: str, text: str | None = None, *, after: int = 0) -> Heard:
        """Wait for a message on `topic` (with exactly this text, if given), skipping the first `after` heard."""

        def wanted(heard: list[Heard]) -> Heard | None:
            found = (one for one in heard[after:] if one.topic == topic and (text is None or one.text == text))
            return next(found, None)

        message: Heard = await self.until(wanted)
        return message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(TIMEOUT_S), "the listener could not subscribe"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # A client in a reference cycle leaves its sockets to the garbage collector, which calls them unclosed.
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    def _on_connect(self, client: Client, *_: Any) -> None:
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        if self._filters:
            client.subscribe([(topic, options) for topic in self._filters])
        else:
            self._subscribed.set()

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        sent: Any = message.properties
        properties: dict[str, Any] = {} if sent is None else sent.json()
        if hasattr(sent, "CorrelationData"):
            properties["CorrelationData"] = sent.CorrelationData
        with self._changed:
            self.heard.append(Heard(message.topic, bytes(message.payload), message.retain, message.qos, properties))
            self._changed.notify_all()
