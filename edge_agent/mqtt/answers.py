"""How answers leave: on the device's result topic, to whoever asked for one of its own, and a group's not all at once.

Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edge_agent.mqtt.intake import RawCommand
from edge_agent.mqtt.messages import JSON, Message
from edge_agent.mqtt.topics import CommandTopic, DeviceKind, DeviceTopic, GroupTopic, TopicTree
from edge_agent.wire import encode

GROUP_SPREAD_S = 0.5
"""Over how long the answers of a group are spread: a thousand must not hit the broker at once."""
_GROUP_COMMANDS_REMEMBERED = 64


class Answers:
    """Knows which answers belong to a group command: those of ids that came with one, and those given meanwhile.

    `submit` takes a command and returns the id under which its answers will come; it may answer at once. `send` takes
    what is to be published, once, late if need be.
    """

    def __init__(
        self,
        tree: TopicTree,
        device: str,
        submit: Callable[[RawCommand], str | None],
        send: Callable[[Message], None],
    ) -> None:
        self._tree = tree
        self._topic = tree.build(DeviceTopic(device, DeviceKind.RESULT))
        self._submit = submit
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._in_group = False
        self._delays_s: OrderedDict[str, float] = OrderedDict()
        self._waiting: dict[asyncio.TimerHandle, Message] = {}

    def submit(self, raw: RawCommand) -> None:
        """Hand on a command, and remember how its answers go."""
        self._in_group = raw.group is not None
        try:
            command_id = self._submit(raw)
        finally:
            self._in_group = False
        if raw.group is not None and command_id is not None and command_id not in self._delays_s:
            self._remember(command_id)

    def send(
        self,
        document: Mapping[str, Any],
        reply_to: str | None,
        correlation: bytes | None,
        taken: Callable[[], None] | None,
    ) -> None:
        """Publish a result, also on `reply_to` if that is no way to command somebody; `taken`: the broker has it."""
        message = Message(self._topic, encode(document), content_type=JSON, correlation=correlation, taken=taken)
        messages = [message]
        if reply_to is not None and reply_to != self._topic and self._may_answer_on(reply_to):
            # The one that somebody waits for goes first, so that the other one vouches for both.
            messages.insert(0, replace(message, topic=reply_to, taken=None))
        delay_s = self._spread_s(str(document.get("id")))
        for one in messages:
            if delay_s is None:
                self._send(one)
            else:
                self._send_later(one, delay_s)

    def close(self) -> None:
        """Let nothing wait any longer."""
        for handle, message in self._waiting.items():
            handle.cancel()
            self._send(message)
        self._waiting.clear()

    def _may_answer_on(self, reply_to: str) -> bool:
        """Whether a response topic is one, and no way to command somebody in this agent's name."""
        if not 0 < len(reply_to) <= 1024 or any(forbidden in reply_to for forbidden in "+#\0"):
            return False
        return not isinstance(self._tree.parse(reply_to), CommandTopic | GroupTopic)

    def _spread_s(self, command_id: str) -> float | None:
        """How long an answer to this command waits, the same for all its answers; None for no group command."""
        delay_s = self._delays_s.get(command_id)
        if delay_s is None and self._in_group:
            delay_s = self._remember(command_id)
        return delay_s

    def _remember(self, command_id: str) -> float:
        delay_s = random.SystemRandom().uniform(0, GROUP_SPREAD_S)
        self._delays_s[command_id] = delay_s
        if len(self._delays_s) > _GROUP_COMMANDS_REMEMBERED:
            self._delays_s.popitem(last=False)
        return delay_s

    def _send_later(self, message: Message, delay_s: float) -> None:
        def send() -> None:
            del self._waiting[handle]
            self._send(message)

        handle = self._loop.call_later(delay_s, send)
        self._waiting[handle] = message
