"""What becomes of a message on a command topic, before anybody reads its payload: pure, the instant comes in.

A retained command is marked and named once, a flood costs a bounded number of answers, a repeated delivery is dropped.
What the payload says and whether the command came too late is judged further in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TypeVar

from edge_agent.core.commands import Refusal
from edge_agent.core.flood import COMMAND_BURST, COMMANDS_PER_S, TOO_FAST, FloodGuard
from edge_agent.core.model import Code, Now
from edge_agent.mqtt.messages import Incoming, Subscription
from edge_agent.mqtt.topics import ALL_DEVICES, CommandTopic, GroupTopic, TopicTree
from edge_agent.wire.values import counted

FLOOD_ANSWER_S = 1.0
"""How long refused commands are counted before they are answered together."""
FLOOD_ANSWERS = 100
FLOOD_ANSWERS_PER_S = 10
"""Commands refused for coming too fast that are answered one by one; of more than these only the number is told."""
_REMEMBERED = 64
"""Retained topics and recent deliveries that are told apart; a broker has no more in flight to one client."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class RawCommand:
    """One command as it came in.

    `payload` may be cut where it is far too large. `expires_at` comes from the MQTT 5 message expiry. `group` is None
    for a command to this device alone. `properties` are the MQTT 5 user properties. `refusal` is set where it has to
    be answered and not obeyed, whatever the payload says.
    """

    verb: str
    payload: bytes = field(repr=False)
    received: Now
    retained: bool
    expires_at: datetime | None
    reply_to: str | None
    correlation: bytes | None
    group: str | None
    properties: tuple[tuple[str, str], ...] = ()
    refusal: Refusal | None = None


class Intake:
    """Judges commands for one device. `as_published` says whether live messages carry their retain flag (MQTT 5)."""

    def __init__(self, tree: TopicTree, device: str, groups: Collection[str], *, as_published: bool) -> None:
        self._tree = tree
        self._device = device
        self._groups = frozenset(groups) | {ALL_DEVICES}
        self._as_published = as_published
        self._retained: OrderedDict[str, bytes] = OrderedDict()
        self._present: dict[str, None] = {}
        self._confirmed: set[str] | None = None
        self._handled: OrderedDict[tuple[str, int, bytes], None] = OrderedDict()
        self._flood = FloodGuard()
        self._refusals = FloodGuard(FLOOD_ANSWERS_PER_S, FLOOD_ANSWERS)
        self._refused = 0
        self._last_refused: tuple[Incoming, CommandTopic | GroupTopic] | None = None

    @property
    def subscriptions(self) -> list[Subscription]:
        """All topics on which this device takes commands."""
        filters = [self._tree.device_commands(self._device)]
        filters += [self._tree.group_commands(group) for group in sorted(self._groups)]
        return [Subscription(topic_filter, as_published=True) for topic_filter in filters]

    @property
    def retained(self) -> tuple[str, ...]:
        """Topics on which a retained command lies, oldest first."""
        return tuple(self._present)

    def begin(self) -> None:
        """A connection begins: the broker is about to send all retained commands again."""
        self._confirmed = set()

    def greeted(self) -> None:
        """The broker has sent everything that it keeps; what it did not send is gone."""
        if self._confirmed is not None:
            self._present = {topic: None for topic in self._present if topic in self._confirmed}
        self._confirmed = None

    def keeps(self, message: Incoming) -> bool:
        """Whether the broker keeps just this command, as far as it has shown."""
        digest = blake2b(message.payload, digest_size=16).digest()
        return message.topic in self._present and self._retained.get(message.topic) == digest

    def judge(self, message: Incoming, received: Now) -> RawCommand | None:
        """The command in a message, or None where there is nothing to do or its answer comes with `flood_answer`."""
        topic = self._tree.parse(message.topic)
        match topic:
            case CommandTopic(device, _) if device == self._device:
                pass
            case GroupTopic(group, _) if group in self._groups:
                pass
            case _:
                return None
        digest = blake2b(message.payload, digest_size=16).digest()
        if self._is_repeated(message, digest):
            return None
        if message.retain:
            if not self._is_news(message, digest):
                return None
        elif not self._as_published and not message.payload and message.topic in self._present:
            # Without MQTT 5 the clearing of a retained command looks like an empty command, which may be a `start`.
            self._forget(message.topic)
            return _raw(message, topic, received, _CLEARED)
        if not self._flood.admit(received.mono_s):
            if self._refusals.admit(received.mono_s):
                # A retained command stays one: it is not sent again by whoever reads that it came too fast.
                return _raw(message, topic, received, None if message.retain else _TOO_FAST)
            self._refused += 1
            self._last_refused = (message, topic)
            return None
        return _raw(message, topic, received)

    @property
    def flooded(self) -> bool:
        """Whether commands were refused that nobody answered for yet."""
        return self._refused > 0

    def flood_answer(self, received: Now) -> RawCommand | None:
        """The last of the commands refused since the last call, to answer for all of them."""
        if self._last_refused is None:
            return None
        message, topic = self._last_refused
        count, self._refused, self._last_refused = self._refused, 0, None
        text = (
            f"{counted(count, 'command')} refused: more than {COMMANDS_PER_S} a second came (burst {COMMAND_BURST}); "
            "send fewer, and send these again"
        )
        return _raw(message, topic, received, Refusal(Code.RATE_LIMITED, text))

    def _is_repeated(self, message: Incoming, digest: bytes) -> bool:
        """Whether this delivery was handled before the connection that it was acknowledged on broke."""
        if message.qos == 0:
            return False
        key = (message.topic, message.packet_id, digest)
        if message.duplicate and key in self._handled:
            return True
        _remember(self._handled, key, None)
        return False

    def _is_news(self, message: Incoming, digest: bytes) -> bool:
        """Note a retained message; False for one that was answered before, and for the clearing of one."""
        if not message.payload:
            self._forget(message.topic)
            return False
        known = self._retained.get(message.topic) == digest
        _remember(self._retained, message.topic, digest)
        if len(self._present) < _REMEMBERED:
            self._present[message.topic] = None
        if self._confirmed is None:
            return self._as_published or not known  # live, with MQTT 5: somebody has sent it just now
        self._confirmed.add(message.topic)
        return not known

    def _forget(self, topic: str) -> None:
        self._retained.pop(topic, None)
        self._present.pop(topic, None)


_CLEARED = Refusal(
    Code.RETAINED,
    "this was taken as the clearing of the retained command that lay on its topic; send it again if it was meant",
)
_TOO_FAST = Refusal(Code.RATE_LIMITED, TOO_FAST)


def _raw(
    message: Incoming, topic: CommandTopic | GroupTopic, received: Now, refusal: Refusal | None = None
) -> RawCommand:
    expires_at = None if message.expiry_s is None else received.wall + timedelta(seconds=message.expiry_s)
    return RawCommand(
        verb=topic.verb,
        payload=message.payload,
        received=received,
        retained=message.retain,
        expires_at=expires_at,
        reply_to=message.reply_to,
        correlation=message.correlation,
        group=topic.group if isinstance(topic, GroupTopic) else None,
        properties=message.properties,
        refusal=refusal,
    )


def _remember(known: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
