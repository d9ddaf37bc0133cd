"""Giving an order to one device or to a group, and hearing their answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.app.line import Line, connected
from edge_agent.config import Config
from edge_agent.fleet.answers import Answer, Answers
from edge_agent.fleet.order import Order
from edge_agent.fleet.roster import Roster
from edge_agent.mqtt.messages import JSON, Incoming, Message
from edge_agent.mqtt.topics import CommandTopic, DeviceKind, DeviceTopic, GroupTopic


@dataclass(frozen=True, slots=True)
class Target:
    """Who gets an order: one device, or (with `group`) every member of a group."""

    device: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `silent` were online, or of unknown whereabouts, and did not answer; `offline` were not asked."""

    finals: tuple[Answer, ...]
    silent: tuple[str, ...]
    offline: tuple[str, ...]

    @property
    def succeeded(self) -> bool:
        """Whether everybody who is meant got it and said `succeeded`."""
        return bool(self.finals) and not self.silent and not self.offline and all(one.succeeded for one in self.finals)


async def give(
    config: Config, order: Order, target: Target, timeout_s: float, tell: Callable[[Answer], None]
) -> Outcome:
    """Send an order and wait for the final answers; `tell` gets each answer as it comes.

    Waits `timeout_s` at the longest, from the order's common start instant on where it has one.

    A device that the broker calls offline gets no order of its own: it would obey later, when nobody expects it.
    Raises `BrokerUnavailable`.
    """
    exchange = _Exchange(order, target, tell)
    async with connected(config, exchange.take) as line:
        return await exchange.run(line, version_5=config.mqtt.protocol == "5", timeout_s=timeout_s)


class _Exchange:
    """One order on its way."""

    def __init__(self, order: Order, target: Target, tell: Callable[[Answer], None]) -> None:
        self._order = order
        self._target = target
        self._tell = tell
        self._line: Line | None = None
        self._roster = Roster()
        self._answers = Answers(order.id, ())
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, line: Line, *, version_5: bool, timeout_s: float) -> Outcome:
        self._line = line
        members = await self._find(line)
        offline = tuple(device for device in members if self._roster.online(device) is False)
        asked = [device for device in members if device not in offline]
        if not asked and (members or self._target.group is None):
            return Outcome((), (), offline)
        self._answers = Answers(self._order.id, asked)
        await line.listen(self._reply_filters(line, asked, version_5=version_5))
        group, verb = self._target.group, self._order.verb
        topic = CommandTopic(self._target.device, verb) if group is None else GroupTopic(group, verb)
        await line.publish(
            Message(
                line.tree.build(topic),
                self._order.payload,
                # An order that nobody waits for any more must not be obeyed.
                expiry_s=max(1, round(timeout_s)),
                content_type=JSON,
                reply_to=line.reply_topic if version_5 else None,
            )
        )
        await self._hear_out(line, self._order.ahead_s + timeout_s)
        finals = tuple(self._answers.finals[device] for device in sorted(self._answers.finals))
        return Outcome(finals, self._answers.silent, offline)

    async def _find(self, line: Line) -> tuple[str, ...]:
        """Who is meant, and who of them is there."""
        tree, target = line.tree, self._target
        if target.group is None:
            await line.sweep([tree.build(DeviceTopic(target.device, DeviceKind.AVAILABILITY))])
            return (target.device,)
        await line.sweep([tree.every_device(DeviceKind.AVAILABILITY), tree.every_device(DeviceKind.INFO)])
        return self._roster.members(target.group)

    def _reply_filters(self, line: Line, asked: list[str], *, version_5: bool) -> list[str]:
        """Where answers come: the response topic, and the result topics of those who may not know of it."""
        tree = line.tree
        results = [tree.build(DeviceTopic(device, DeviceKind.RESULT)) for device in asked]
        if self._target.group is not None:
            everybody = [tree.every_device(DeviceKind.RESULT)]
            all_know = bool(asked) and all(self._roster.knows_response_topics(device) for device in asked)
            results = [] if version_5 and all_know else everybody
        return [line.reply_topic, *results] if version_5 else results

    async def _hear_out(self, line: Line, timeout_s: float) -> None:
        either: list[asyncio.Future[Any]] = [self._complete, line.ended]
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._complete.done() and line.ended.done():
            raise line.ended.result()

    def take(self, message: Incoming) -> None:
        """What the line hears."""
        if self._line is None:
            return
        match self._line.tree.parse(message.topic):
            case DeviceTopic(device, DeviceKind.AVAILABILITY | DeviceKind.INFO as kind):
                self._roster.take(device, kind, message.payload)
                return
            case DeviceTopic(_, DeviceKind.RESULT):
                pass
            case _ if message.topic != self._line.reply_topic:
                return
        answer = self._answers.take(message.payload)
        if answer is not None:
            self._tell(answer)
            if self._answers.complete and not self._complete.done():
                self._complete.set_result(None)
