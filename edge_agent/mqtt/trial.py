"""One try at a broker, for people who ask whether their settings are right: nothing of it stays there.

Whether an agent may publish shows by publishing alone. One result goes out, of a command that nobody gave: whoever
waits for the answer to a command of their own passes it over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from edge_agent.mqtt.claim import ONLINE
from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.intake import Intake
from edge_agent.mqtt.messages import Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.topics import DeviceKind, DeviceTopic, TopicTree
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble, subscription_trouble

ANSWER_S = 5.0
"""For the broker's word on the one message."""


class _Ear:
    """Notes the newest payload of each topic, and the answers to what is published, by packet id."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}
        self.answers: dict[int, str | None] = {}
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def received(self, message: Incoming) -> None:
        self.heard[message.topic] = message.payload

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        self.answers[packet_id] = refusal
        if not self.answered.done():
            self.answered.set_result(None)

    def writable(self) -> None:
        pass


async def try_broker(
    endpoint: Endpoint, base_topic: str, device: str, groups: Collection[str], answer: bytes
) -> str | None:
    """What is wrong with the broker, as a sentence that says what to do; None if commands and answers would arrive.

    `answer` is published as a result. Brokers without MQTT 5 do not tell that they don't take it. Takes at most about
    25 s. Connects under a client id of its own and without a last will, so that a running agent does not notice. Raises
    nothing.
    """
    tree, ear = TopicTree(base_topic), _Ear()
    intake = Intake(tree, device, groups, as_published=endpoint.version_5)
    result = tree.build(DeviceTopic(device, DeviceKind.RESULT))
    try:
        session = await Session.connect(_stranger(endpoint), ear)
        try:
            refused = await session.subscribe(intake.subscriptions)
            denied = None if refused else await _denied(session, ear, Message(result, answer))
        finally:
            session.close()
    except BrokerUnavailable as error:
        return f"{error.trouble}: {error}"
    if denied is not None:
        told = f"the broker does not let this agent publish on {result} ({denied}); check its access rules"
        return f"{Trouble.ACL_PUBLISH}: {told}"
    return f"{Trouble.ACL_SUBSCRIBE}: {subscription_trouble(refused)}" if refused else None


async def is_online(endpoint: Endpoint, base_topic: str, device: str) -> bool:
    """Whether the broker calls this device online; False also where it does not say."""
    tree, ear = TopicTree(base_topic), _Ear()
    availability, result = (
        tree.build(DeviceTopic(device, kind)) for kind in (DeviceKind.AVAILABILITY, DeviceKind.RESULT)
    )
    try:
        session = await Session.connect(_stranger(endpoint), ear)
        try:
            await session.subscribe([Subscription(availability)])
            # The answer to a second subscription comes after the retained messages of the first.
            await session.subscribe([Subscription(result)])
        finally:
            session.close()
    except BrokerUnavailable:
        return False
    return ear.heard.get(availability) == ONLINE


def _stranger(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, client_id=f"{endpoint.client_id}-check", will=None)


async def _denied(session: Session, ear: _Ear, message: Message) -> str | None:
    """Why the broker does not take a message, in its words; None if it does. Raises `BrokerUnavailable`."""
    packet_id = session.publish(message)
    if packet_id is None:
        return None
    either: list[asyncio.Future[Any]] = [ear.answered, session.ended]
    await asyncio.wait(either, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
    if packet_id in ear.answers:
        return ear.answers[packet_id]
    if session.ended.done():
        raise session.ended.result()
    raise BrokerUnavailable(Trouble.NO_ANSWER, "the broker does not acknowledge a message")
