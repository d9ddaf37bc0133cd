"""Messages to and from the broker, subscriptions, and who is told: what the room's parts hand each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

JSON = "application/json"
JPEG = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish.

    `expiry_s` (seconds the broker keeps it), `content_type`, `reply_to`, `correlation` and `properties` (user
    properties) need MQTT 5; a 3.1.1 session leaves them out. `taken` is called once the broker has it.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    content_type: str | None = None
    correlation: bytes | None = None
    properties: tuple[tuple[str, str], ...] = ()
    reply_to: str | None = None
    taken: Callable[[], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message from the broker. `expiry_s` is what is left of its life; `duplicate` marks a repeated delivery."""

    topic: str
    payload: bytes = field(repr=False)
    retain: bool = False
    qos: int = 1
    packet_id: int = 0
    duplicate: bool = False
    expiry_s: int | None = None
    reply_to: str | None = None
    correlation: bytes | None = None
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to subscribe to. At QoS 1 a broker drops what exceeds its queue for one client, at QoS 0 hardly anything.

    `as_published` (MQTT 5) leaves the retain flag of live messages as their sender set it; without it the flag marks
    those that the broker had kept. Under MQTT 5 own messages do not come back.
    """

    topic_filter: str
    as_published: bool = False
    qos: int = 1


class MessageTooLarge(Exception):
    """The broker takes no message of this size."""

    def __init__(self, topic: str, limit_bytes: int) -> None:
        super().__init__(f"{topic} is larger than the {limit_bytes} bytes that the broker takes")


class Listener(Protocol):
    """Who is told what happens on a session. All are called on the event loop and must not raise."""

    def received(self, message: Incoming) -> None: ...

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        """The broker answered for a QoS 1 message; `refusal` is its reason where it did not take it."""

    def writable(self) -> None:
        """What was handed over has left; there is room for more."""
