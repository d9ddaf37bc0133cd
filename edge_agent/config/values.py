"""What single values of the configuration may look like: each function returns the value or raises ValueError.

The message says what would be right, and never repeats the value: it may be a secret in the wrong place.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from edge_agent.core.model import is_name
from edge_agent.core.offload import parse_hours

BUILT_IN_MODES = frozenset({"stream", "quick", "demo"})
"""Modes that do something of their own, so that configuration can't give their names another meaning."""

_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([kMGT])(i?)B")
_AGE = re.compile(r"(?:([0-9]{1,5})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,9})s)?")
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")


def name(text: str) -> str:
    """A device, group or camera name."""
    if not is_name(text):
        raise ValueError("must be 1 to 32 of a-z, 0-9, _ and -, begin with a letter or digit, and not be all or cmd")
    return text


def camera_id(text: str) -> str:
    """A camera's name; `dual` would take the names of the modes for two cameras."""
    if text == "dual":
        raise ValueError("must not be dual, which the modes for two cameras begin with")
    return name(text)


def mode_name(text: str) -> str:
    """A mode of the user's own, or one of the built-in recording modes to be replaced."""
    if re.fullmatch(r"([0-9]+[smhd]?)+", text):
        raise ValueError("must not read like a duration, which `start` takes in the same place")
    if text in BUILT_IN_MODES:
        raise ValueError("is a built-in mode that can't be replaced; choose a new name")
    return name(text)


def absolute_path(path: Path, base: Path) -> Path:
    """The path with `~` and, from `base`, relative parts filled in; links are left as they are."""
    try:
        return Path(os.path.normpath(base / path.expanduser()))
    except RuntimeError as error:
        raise ValueError("names a home directory that is not known") from error


def topic(text: str) -> str:
    """One or more topic levels."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", text) is None:
        raise ValueError("must be topic levels of A-Z a-z 0-9 _ . - with single slashes between")
    return text


def host(text: str) -> str:
    """A host name or an address of either version."""
    if re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", text) is None or re.fullmatch(r"[^:]*:[0-9]+", text):
        raise ValueError("must be a host name or an address alone, without scheme, port or user")
    return text


def is_loopback(text: str) -> bool:
    """Whether only this machine can reach a server that listens on this host."""
    return _LOOPBACK.fullmatch(text) is not None


def endpoint(text: str) -> str:
    """The address of a store, as its maker gives it."""
    if re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+/?", text) is None:
        raise ValueError("must look like https://host or http://host:port; the bucket has a key of its own")
    return text


def bucket(text: str) -> str:
    """A bucket's name, by S3's rules."""
    if re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text) is None:
        raise ValueError("must be 3 to 63 of a-z, 0-9, . and -, with a letter or digit at both ends")
    return text


def object_prefix(text: str) -> str:
    """What the names of objects begin with: folders, in effect."""
    if re.fullmatch(r"([A-Za-z0-9_.-]+/)*[A-Za-z0-9_.-]*", text) is None or ".." in text:
        raise ValueError('must be names of A-Z a-z 0-9 _ . - with single slashes between, such as "vans/van7/"')
    return text


def hours(text: str) -> str:
    """A part of the day."""
    parse_hours(text)
    return text


def origin(text: str) -> str:
    """A web origin as browsers send it."""
    if re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", text) is None:
        raise ValueError("must look like https://host or http://host:port, without a path")
    return text


def protocol(value: object) -> object:
    """MQTT's version; the number 5 is as good as the text."""
    return "5" if value == 5 and not isinstance(value, str) else value


def size_bytes(value: object) -> object:
    """Bytes as a number; text such as "10GB" (10^10) or "2GiB" (2^31) is converted."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError('must be a number of bytes, or text such as "500MB", "10GB" or "2GiB"')
    number, unit, binary = match.groups()
    return round(float(number) * (1024 if binary else 1000) ** ("kMGT".index(unit) + 1))


def age_s(value: object) -> object:
    """Seconds as a number; text such as "30d" or "1d12h" is converted."""
    if not isinstance(value, str):
        return value
    match = _AGE.fullmatch(value)
    if match is None or not value:
        raise ValueError('must be a number of seconds, or text such as "30d", "12h" or "1d12h"')
    return float(sum(int(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)))
