"""Every device that a broker knows, from the documents that it keeps: what the fleet table shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from edge_agent.core.model import is_name
from edge_agent.fleet.answers import plain

EVERYBODY = "all"
_OLD_PROTOCOL = "3.1.1"


@dataclass(frozen=True, slots=True)
class Row:
    """One device as the table shows it; None where nothing was told.

    `online` is what the broker says, `seen_at` the newest instant in the device's own documents, by its own clock.
    """

    device: str
    name: str | None
    groups: tuple[str, ...]
    online: bool | None
    state: str | None
    mode: str | None
    disk_free_bytes: int | None
    disk_used_percent: float | None
    hours_left: float | None
    temperature_c: float | None
    problems: tuple[str, ...]
    seen_at: datetime | None
    version: str | None
    simulated: bool


@dataclass(slots=True)
class _Member:
    online: bool | None = None
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)


class Roster:
    """What was heard of every device. Documents may come in any order and may be rubbish."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = {}

    def take(self, device: str, kind: str, payload: bytes) -> None:
        """Note one document; an empty payload means that the broker keeps it no more."""
        if not is_name(device):
            return
        member = self._members.setdefault(device, _Member())
        if kind == "availability":
            member.online = {b"online": True, b"offline": False}.get(payload)
        elif not payload:
            member.documents.pop(kind, None)
        elif (document := _document(payload)) is not None:
            member.documents[kind] = document
        if member.online is None and not member.documents:
            del self._members[device]

    @property
    def devices(self) -> tuple[str, ...]:
        """Everybody of whom anything was heard, in order of names."""
        return tuple(sorted(self._members))

    def online(self, device: str) -> bool | None:
        """Whether the broker calls this device online; None when it says nothing."""
        member = self._members.get(device)
        return None if member is None else member.online

    def members(self, group: str) -> tuple[str, ...]:
        """The devices that say they belong to this group; `all` is everybody."""
        return tuple(device for device in self.devices if group == EVERYBODY or group in self._groups(device))

    def knows_response_topics(self, device: str) -> bool:
        """Whether this device can answer on a response topic; one that said nothing of itself may not."""
        told = _part(self._info(device), "mqtt").get("protocol")
        return told is not None and told != _OLD_PROTOCOL

    def rows(self, group: str = EVERYBODY) -> list[Row]:
        """The table's rows, in order of names."""
        return [self._row(device) for device in self.members(group)]

    def _info(self, device: str) -> Mapping[str, Any]:
        member = self._members.get(device)
        return {} if member is None else member.documents.get("info", {})

    def _groups(self, device: str) -> tuple[str, ...]:
        groups = self._info(device).get("groups")
        return tuple(one for one in groups if isinstance(one, str)) if isinstance(groups, list) else ()

    def _row(self, device: str) -> Row:
        member = self._members[device]
        info = self._info(device)
        status, telemetry = member.documents.get("status", {}), member.documents.get("telemetry", {})
        disk = _part(telemetry, "disk")
        free_bytes = _number(disk, "free_bytes")
        return Row(
            device=device,
            name=_text(info, "name"),
            groups=tuple(plain(group) for group in self._groups(device)),
            online=member.online,
            state=_text(status, "state"),
            mode=_text(status, "mode") or _text(status, "selected_mode"),
            disk_free_bytes=None if free_bytes is None else int(free_bytes),
            disk_used_percent=_number(disk, "used_percent"),
            hours_left=_number(disk, "recording_hours_left"),
            temperature_c=_number(telemetry, "temperature_c"),
            problems=_codes(status.get("problems")),
            seen_at=max((at for one in member.documents.values() if (at := _instant(one))), default=None),
            version=_text(info, "version"),
            simulated=info.get("simulated") is True,
        )


def _document(payload: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _codes(problems: object) -> tuple[str, ...]:
    """The codes of a status' problems, each once."""
    found = problems if isinstance(problems, list) else []
    return tuple(dict.fromkeys(plain(one.get("code")) for one in found if isinstance(one, dict)))


def _text(document: Mapping[str, Any], key: str) -> str | None:
    return plain(document.get(key)) or None


def _number(document: Mapping[str, Any], key: str) -> float | None:
    found = document.get(key)
    return found if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e18 else None


def _instant(document: Mapping[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(document["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None
