"""Telling two agents with one device id apart: who came second says so and leaves, so that they never fight.

The retained info names the agent (its boot id) that used this device id last. If that was another one and the broker
calls it online, it is asked for an answer with the contract's own `ping`; one that died without the broker noticing
yet gives none. Only then is the device id claimed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from edge_agent.mqtt.messages import Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.topics import CommandTopic, DeviceKind, DeviceTopic, TopicTree
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble

PROBES = 4
PROBE_TIMEOUT_S = 0.5
"""Four tries of half a second: the other one may be coming back itself, and state has to be out within 3 s."""

OFFLINE = b"offline"
ONLINE = b"online"


class Claim:
    """One agent's claim to its device id. Takes the messages of three topics, of which `subscriptions` tells."""

    def __init__(self, tree: TopicTree, device: str, boot_id: str) -> None:
        self._device = device
        self._boot_id = boot_id
        self._info = tree.build(DeviceTopic(device, DeviceKind.INFO))
        self._availability = tree.build(DeviceTopic(device, DeviceKind.AVAILABILITY))
        self._result = tree.build(DeviceTopic(device, DeviceKind.RESULT))
        self._ping = tree.build(CommandTopic(device, "ping"))
        self._probe_id = f"claim-{boot_id}"[:64]
        self._answered: asyncio.Future[None] | None = None
        self._other: str | None = None
        self._other_online = False
        self._held = False

    async def stake(self, session: Session) -> None:
        """Make sure that no other agent has this device id. Raises `BrokerUnavailable` if one does.

        A broker whose access rules hide the three topics from this agent hides the other agent as well.
        """
        self._other, self._other_online, self._held = None, False, False
        self._answered = asyncio.get_running_loop().create_future()
        await session.subscribe([Subscription(self._info), Subscription(self._availability)])
        # The answer to a second subscription comes after the retained messages of the first.
        await session.subscribe([Subscription(self._result)])
        if self._other is not None and self._other_online:
            await self._probe(session, self._other)
        self._answered = None
        self._held = True

    def received(self, message: Incoming, *, stand_up: Callable[[], None], step_back: Callable[[], None]) -> bool:
        """Take a message if it is one of ours.

        `stand_up` is called when somebody said `offline` in our name, `step_back` when another agent announces itself
        under our device id.
        """
        if message.topic == self._info:
            self._hear_info(message, step_back)
        elif message.topic == self._availability:
            self._other_online = message.payload == ONLINE
            if self._held and not message.retain and message.payload == OFFLINE:
                stand_up()
        elif message.topic == self._result:
            if self._answered is not None and not self._answered.done() and _id_of(message.payload) == self._probe_id:
                self._answered.set_result(None)
        else:
            return False
        return True

    def duplicate(self) -> BrokerUnavailable:
        """The condition of an agent that came second."""
        return BrokerUnavailable(
            Trouble.DUPLICATE_DEVICE,
            f"another agent with the device id {self._device} is online; give one of them another device.id",
        )

    def _hear_info(self, message: Incoming, step_back: Callable[[], None]) -> None:
        boot_id = _boot_id_of(message.payload)
        self._other = boot_id if boot_id != self._boot_id else None
        if self._held and not message.retain and self._other is not None:
            step_back()

    async def _probe(self, session: Session, other: str) -> None:
        answered = self._answered
        probe = json.dumps({"id": self._probe_id, "by": f"an agent with the same device id; known so far: {other}"})
        for _ in range(PROBES):
            if answered is None or self._other is None or not self._other_online or session.ended.done():
                return
            session.publish(Message(self._ping, probe.encode(), expiry_s=5))
            await asyncio.wait([answered], timeout=PROBE_TIMEOUT_S)
            if answered.done():
                raise self.duplicate()


def _boot_id_of(payload: bytes) -> str | None:
    found = _object(payload).get("boot_id")
    return found if isinstance(found, str) else None


def _id_of(payload: bytes) -> object:
    return _object(payload).get("id")


def _object(payload: bytes) -> dict[str, object]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
