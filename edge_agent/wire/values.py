"""Durations, instants and switches as people and programs write them, and how instants and counts are written back.

Each `parse_` function takes any JSON value and raises `BadValue` with a sentence that names the value and says what to
send instead.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from edge_agent.core.model import MAX_DURATION_S, Code

_SHOWN_CHARS = 40
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_UNITS = re.compile(
    r"(?P<sign>[+-]?)(?=[0-9.])(?:(?P<d>[0-9]+(?:\.[0-9]+)?)d)?(?:(?P<h>[0-9]+(?:\.[0-9]+)?)h)?"
    r"(?:(?P<m>[0-9]+(?:\.[0-9]+)?)m)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)s)?",
    re.ASCII,
)
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_LATEST_UNIX_S = _LATEST.timestamp()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DURATION_PATTERN = r"^[+]?([0-9]+(\.[0-9]+)?|(?=[0-9])([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?)$"
"""The text form of a duration for schemas; `parse_duration` is the judge."""
DURATION_HINT = "send seconds, or text such as 90s, 10m or 1h30m"
INSTANT_HINT = "send ISO 8601 with Z or an offset such as 2026-11-23T09:15:00Z, or seconds since 1970"


class BadValue(ValueError):
    """A value from outside that cannot be taken; `code` is `malformed`, or says more where the form is right."""

    def __init__(self, message: str, code: Code = Code.MALFORMED) -> None:
        super().__init__(message)
        self.code = code


def shown(value: object) -> str:
    """`value` for a message: quoted, control characters escaped, at most 40 characters of it."""
    text = value if isinstance(value, str) else repr(value)
    short = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
    return ascii(short) if isinstance(value, str) else ascii(short)[1:-1]


def parse_duration(value: object) -> float:
    """Seconds from a number or from text such as `90`, `90s`, `10m`, `1h30m`; at most 7 days, 0 allowed."""
    seconds = _duration_in_text(value) if isinstance(value, str) else finite(value)
    if seconds is None:
        raise BadValue(f"{shown(value)} is not a duration; {DURATION_HINT}")
    if seconds < 0:
        raise BadValue(f"{shown(value)} is negative; {DURATION_HINT}", Code.OUT_OF_RANGE)
    if seconds > MAX_DURATION_S:
        raise BadValue(f"{shown(value)} is longer than 7 days ({MAX_DURATION_S} s)", Code.OUT_OF_RANGE)
    return seconds + 0.0  # -0.0 becomes 0.0


def looks_like_duration(text: str) -> bool:
    """Whether `text` has the form of a duration, even if it is negative or too long."""
    return _duration_in_text(text) is not None


def _duration_in_text(text: str) -> float | None:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    match = _UNITS.fullmatch(stripped)
    if match is None:
        return None
    total = math.fsum(float(match[unit]) * factor for unit, factor in _UNIT_S.items() if match[unit])
    return -total if match["sign"] == "-" else total


def finite(value: object) -> float | None:
    """`value` as a float if it is a JSON number (a bool is none); infinity stands for what a float cannot hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number


def parse_instant(value: object) -> datetime:
    """An aware UTC instant from ISO 8601 text with `Z` or an offset, or from seconds since 1970."""
    if isinstance(value, str):
        return _instant_in_text(value.strip())
    unix_s = finite(value)
    if unix_s is None:
        raise BadValue(f"{shown(value)} is not an instant; {INSTANT_HINT}")
    if unix_s >= _LATEST_UNIX_S * 10:
        raise BadValue(f"{shown(value)} is too far ahead; send seconds since 1970, not ms", Code.OUT_OF_RANGE)
    if not 0 <= unix_s < _LATEST_UNIX_S:
        raise BadValue(f"{shown(value)} is outside the years 1970 to 2199; {INSTANT_HINT}", Code.OUT_OF_RANGE)
    return _EPOCH + timedelta(seconds=unix_s)


def _instant_in_text(text: str) -> datetime:
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise BadValue(f"{shown(text)} is not an instant; {INSTANT_HINT}")
    if match["zone"] is None:
        raise BadValue(f"{shown(text)} has no time zone; {INSTANT_HINT}")
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadValue(f"{shown(text)} does not exist in the calendar; {INSTANT_HINT}") from None
    if not _EPOCH <= instant < _LATEST:
        raise BadValue(f"{shown(text)} is outside the years 1970 to 2199", Code.OUT_OF_RANGE)
    return instant


_SWITCH = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}


def parse_switch(value: object) -> bool:
    """True for `ON`, `1` and `true`, False for `OFF`, `0` and `false`, in any case, as text or as JSON."""
    text = str(value) if isinstance(value, bool | int | str) else ""
    state = _SWITCH.get(text.strip().lower())
    if state is None:
        raise BadValue(f"{shown(value)} is neither ON nor OFF; send ON or OFF")
    return state


def format_instant(instant: datetime) -> str:
    """`2026-11-23T09:15:00Z`: whole seconds, rounded down, so that no document claims more than happened."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_instant_ms(instant: datetime) -> str:
    """`2026-11-23T09:15:00.250Z`, for what needs more than whole seconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def counted(count: int, noun: str) -> str:
    """`1 segment`, `2 segments`, `0 segments`: for nouns whose plural ends in an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
