"""From the bytes of a command to text or a JSON object, or a refusal that names what is wrong with them.

JSON is taken strictly: what two parsers could read differently (duplicate keys, NaN, half of a surrogate pair) is
refused rather than guessed.
"""

from __future__ import annotations

import codecs
import json
import math
from typing import Any

from edge_agent.core.model import Code
from edge_agent.wire.values import BadValue, shown

MAX_PAYLOAD_BYTES = 16 * 1024
MAX_DEPTH = 8
"""Levels of nesting in a JSON payload; the deepest command has two."""

_EMPTY_WORDS = frozenset({"", "PRESS"})


def read_payload(payload: bytes) -> str | dict[str, Any]:
    """The payload as stripped text, or as the object where it is one; `PRESS` and nothing at all are empty text.

    A JSON string (`"10m"` with its quotes) is the text in it. Raises `BadValue`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadValue(f"the payload has {len(payload)} bytes; send at most {MAX_PAYLOAD_BYTES}", Code.TOO_LARGE)
    text = _text(payload)
    if text in _EMPTY_WORDS:
        return ""
    if text[0] == "{":
        parsed = _json(text)
        return parsed if isinstance(parsed, dict) else ""
    if text[0] == "[":
        raise BadValue("the payload is a JSON array; send an object, plain text or nothing")
    if text[0] == '"':
        word = str(_json(text)).strip()
        return "" if word in _EMPTY_WORDS else word
    return text


def _text(payload: bytes) -> str:
    if payload.startswith(codecs.BOM_UTF8):
        raise BadValue("the payload starts with a byte order mark; send UTF-8 without one")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadValue(f"the payload is not UTF-8 (byte {error.start} is 0x{payload[error.start]:02x})") from None
    if "\0" in text:
        raise BadValue(f"the payload holds a NUL character at position {text.index(chr(0))}; send text without")
    return text.strip()


def _json(text: str) -> object:
    if _deeper_than(text, MAX_DEPTH):
        raise BadValue(f"the JSON is nested deeper than {MAX_DEPTH} levels; send a flat object")
    try:
        parsed = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_float, parse_int=_int
        )
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadValue("the JSON holds half of a surrogate pair; send whole characters") from None
    except json.JSONDecodeError as error:
        raise BadValue(f"the JSON is broken at position {error.pos}: {error.msg}") from None
    else:
        return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadValue(f"the key {shown(key)} stands twice in the JSON; send it once")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise BadValue(f"{name} is not a JSON number; send a finite one")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise BadValue(f"the number {shown(digits)} is too large", Code.OUT_OF_RANGE)
    return number


def _int(digits: str) -> int:
    if len(digits) > 20:  # int() of thousands of digits is slow, and no amount here needs more
        raise BadValue(f"the number {shown(digits)} is too large", Code.OUT_OF_RANGE)
    return int(digits)


def _deeper_than(text: str, limit: int) -> bool:
    """Whether brackets outside strings nest deeper than `limit`; checked first because the parser recurses."""
    if text.count("{") + text.count("[") <= limit:
        return False
    depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = not escaped and char == "\\"
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            if depth > limit:
                return True
        elif char in "}]":
            depth -= 1
    return False
