"""What the agent tells the sender and what it hears from it, one JSON object a line. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Destination:
    """The first line: where to send, as whom, and how fast.

    `prefix` is what all names begin with. `endpoint_url` None is Amazon's own; `ca_file` None trusts the authorities
    that come with the client; `max_bps` None sends as fast as the line goes.
    """

    endpoint_url: str | None
    bucket: str
    prefix: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca_file: str | None
    max_bps: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """Every further line: send the file at `path` under the name `key`."""

    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Progress:
    """So many bytes more went out; at most once a second."""

    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The order's file lies in the store, whole, under `key`; `etag` is what the store calls its content."""

    key: str
    etag: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The order's file could not be read, for this reason; the sender waits for the next order."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The store could not be reached or did not take it, and what to do about that. The sender's last words."""

    reason: str


Told = Progress | Stored | Unreadable | Refused
_TOLD = {kind.__name__.lower(): kind for kind in (Progress, Stored, Unreadable, Refused)}


def line_of(said: Destination | Order | Told) -> str:
    """One line, with its end."""
    return json.dumps({type(said).__name__.lower(): asdict(said)}) + "\n"


def read_destination(line: str) -> Destination:
    """The reverse of `line_of`. Raises ValueError, KeyError or TypeError for anything else."""
    return Destination(**json.loads(line)["destination"])


def read_order(line: str) -> Order:
    """As `read_destination`."""
    return Order(**json.loads(line)["order"])


def read_told(line: str | bytes) -> Told:
    """What the sender said. Raises ValueError, with the line, for what is no such thing."""
    try:
        ((kind, fields),) = json.loads(line).items()
        told: Any = _TOLD[kind](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not from a sender: {line[:200]!r}") from error
    return told  # type: ignore[no-any-return]  # one of the table's kinds
