"""From a verb and the bytes that came with it to a command of the core.

Never raises: what cannot be obeyed is a command with a refusal, so that its sender gets an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edge_agent.core.commands import Command, Origin, Refusal, Verb
from edge_agent.core.model import Code, Now
from edge_agent.wire.bodies import BODIES, COMMON_KEYS, CommandBody, keys_of, printable_id
from edge_agent.wire.payload import MAX_PAYLOAD_BYTES, read_payload
from edge_agent.wire.values import BadValue, looks_like_duration, shown

__all__ = ["MAX_PAYLOAD_BYTES", "decode_command"]

_SHOWN_KEYS = 5
_VERB_CHARS = 64


def decode_command(  # noqa: PLR0913 - one keyword for each thing that a door knows about a command
    verb: str,
    payload: bytes,
    *,
    received: Now,
    origin: Origin,
    new_id: Callable[[], str],
    retained: bool = False,
    expires_at: datetime | None = None,
    reply_to: str | None = None,
    correlation: bytes | None = None,
) -> Command:
    """The command that `payload` asks for, or one without a body whose `refusal` says why not.

    `expires_at` is what the door knows of its own, such as an MQTT 5 message expiry; the earlier of it and the
    payload's `ts` + `ttl` counts. A `ttl` without `ts` counts from `received`. `new_id` is called only if the sender
    gave no usable id.
    """
    command = Command(
        id="",
        verb=verb if verb.isprintable() and len(verb) <= _VERB_CHARS else shown(verb),
        body=None,
        received=received,
        origin=origin,
        expires_at=expires_at,
        reply_to=reply_to,
        correlation=correlation,
    )
    refused: BadValue | None = None
    content: str | dict[str, Any] = ""
    try:
        content = read_payload(payload)
        command = _filled(command, content)
    except BadValue as error:
        refused = error
    command = replace(command, id=_sender_id(content) or new_id())
    if retained:
        return replace(command, body=None, refusal=_retained(verb))
    if refused is None:
        return command
    if refused.code is not Code.TOO_LARGE and verb not in BODIES:
        refused = _unknown_verb(verb)
    return replace(command, body=None, refusal=Refusal(refused.code, str(refused)))


def _retained(verb: str) -> Refusal:
    return Refusal(
        Code.RETAINED,
        f"a retained {shown(verb)} command is never carried out; clear the topic with an empty retained message "
        "and publish without the retain flag",
    )


def _unknown_verb(verb: str) -> BadValue:
    return BadValue(f"{shown(verb)} is not a verb; send one of {', '.join(Verb)}", Code.UNKNOWN_VERB)


def _filled(command: Command, content: str | dict[str, Any]) -> Command:
    if command.verb not in BODIES:
        raise _unknown_verb(command.verb)
    model = BODIES[Verb(command.verb)]
    given = keys_of_text(model, content) if isinstance(content, str) else content
    known = {*COMMON_KEYS, *keys_of(model)}
    try:
        keys = model.model_validate({key: value for key, value in given.items() if key in known and value is not None})
    except ValidationError as error:
        raise _bad_value(model, error.errors(include_url=False)) from None
    return replace(
        command,
        body=keys.body(),
        by=keys.by,
        at=keys.at,
        expires_at=_earlier(command.expires_at, _own_expiry(keys, command.received)),
        warnings=_unknown_keys(model, [key for key in given if key not in known]),
    )


def keys_of_text(model: type[CommandBody], text: str) -> dict[str, Any]:
    """The keys that a verb's plain text stands for. Raises `BadValue` where it stands for none."""
    if text == "":
        return {}
    if model.text_key is None:
        takes = "a JSON object" if keys_of(model) else "an empty payload"
        raise BadValue(f"{model.verb} does not take the text {shown(text)}; send {takes}")
    if model.verb is Verb.START and looks_like_duration(text):
        return {"duration": text}
    return {model.text_key: text}


def _own_expiry(keys: CommandBody, received: Now) -> datetime | None:
    if keys.ttl is None:
        return None
    return (received.wall if keys.ts is None else keys.ts) + timedelta(seconds=keys.ttl)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _unknown_keys(model: type[CommandBody], unknown: list[str]) -> tuple[str, ...]:
    if not unknown:
        return ()
    more = len(unknown) - _SHOWN_KEYS
    named = ", ".join(shown(key) for key in unknown[:_SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")
    return (f"ignored unknown keys: {named}; {model.verb} knows {', '.join((*keys_of(model), *COMMON_KEYS))}",)


def _bad_value(model: type[CommandBody], errors: list[ErrorDetails]) -> BadValue:
    """The first error as a sentence that names its key; our own parsers carry code and sentence with them."""
    first = errors[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        how = f"as text or as {key} in JSON" if key == model.text_key else f"as {key} in JSON"
        return BadValue(f"{model.verb} does not say its {key}; send it {how}")
    if first["type"] in set(Code):
        return BadValue(f"{key}: {first['msg']}", Code(first["type"]))
    return BadValue(f"{key}: {shown(first['input'])} does not fit: {first['msg']}")


def _sender_id(content: str | dict[str, Any]) -> str | None:
    if isinstance(content, str):
        return None
    try:
        return printable_id(content.get("id"))
    except BadValue:
        return None
