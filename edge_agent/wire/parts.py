"""What documents are made of: the kinds of values, objects with closed keys, and their bytes.

Keys are closed: what is not declared is not published. Instants are UTC with `Z`: whole seconds where people read them,
milliseconds in events, where order matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from edge_agent.wire.values import format_instant


def _plain_number(value: float) -> int | float:
    """600 rather than 600.0, and no more than milliseconds of the rest."""
    return int(value) if value == int(value) else round(value, 3)


Instant = Annotated[
    datetime,
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Seconds = Annotated[
    float, PlainSerializer(_plain_number, return_type=int | float), WithJsonSchema({"type": "number", "minimum": 0})
]
Count = Annotated[int, Field(ge=0)]


_CLOSED = ConfigDict(
    extra="forbid",
    frozen=True,
    allow_inf_nan=False,
    # Built at their first use: what an agent never publishes costs no memory (0.9 MB for all).
    defer_build=True,
    json_schema_serialization_defaults_required=True,
)


class Document(BaseModel):
    """What every document begins with."""

    model_config = _CLOSED
    v: Literal[1] = Field(default=1, description="Version of this contract")


class Part(BaseModel):
    """An object inside a document."""

    model_config = ConfigDict(**_CLOSED, from_attributes=True)


def dumped(document: Document) -> dict[str, Any]:
    """The document as JSON values, `"v": 1` first."""
    return document.model_dump(mode="json")


def encode(document: Mapping[str, Any]) -> bytes:
    """The document's bytes: compact UTF-8 JSON. What cannot be UTF-8 (half of a surrogate pair) becomes `?`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")
