"""A command as a tool sends it: checked before it goes out, with an id to know its answers by."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edge_agent.core.commands import Origin, Verb
from edge_agent.core.model import Now
from edge_agent.wire.bodies import BODIES
from edge_agent.wire.decode import decode_command, keys_of_text
from edge_agent.wire.payload import read_payload


class OrderRefused(Exception):
    """No device would obey this; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Order:
    """One command, ready to be published. `ahead_s` is how far its common start instant lies ahead, 0 without one."""

    id: str
    verb: Verb
    payload: bytes
    ahead_s: float = 0.0


def compose(verb: str, text: str, *, order_id: str, by: str, now: Now) -> Order:
    """The order for a verb and what a person typed behind it. Raises `OrderRefused`.

    An `id` in the text counts, else `order_id`. Text becomes the key that it stands for, so that it can carry both.
    """
    command = decode_command(verb, text.encode(), received=now, origin=Origin.AGENT, new_id=lambda: order_id)
    if command.refusal is not None:
        raise OrderRefused(command.refusal.message)
    content = read_payload(text.encode())
    keys = keys_of_text(BODIES[Verb(verb)], content) if isinstance(content, str) else content
    payload = {"by": by, **keys, "id": command.id}
    ahead_s = 0.0 if command.at is None else max(0.0, (command.at - now.wall).total_seconds())
    return Order(command.id, Verb(verb), json.dumps(payload, ensure_ascii=False).encode(), ahead_s)
