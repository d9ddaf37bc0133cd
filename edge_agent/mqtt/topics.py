"""Every topic of the public contract as a value, with one builder and one parser that are each other's inverse.

No other module formats or splits a topic below the base. What the topics carry is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.core.model import is_name

ALL_DEVICES = "all"
"""The group that every device is a member of."""
_FORBIDDEN_IN_LEVEL = re.compile(r"[/+#\0\ud800-\udfff]")
_COMMAND_LEVEL = "cmd"


class DeviceKind(StrEnum):
    """What a device publishes about itself."""

    RESULT = "result"
    AVAILABILITY = "availability"
    INFO = "info"
    STATUS = "status"
    TELEMETRY = "telemetry"
    EVENT = "event"


class CameraKind(StrEnum):
    """What a device publishes about one of its cameras."""

    SNAPSHOT = "snapshot"
    PREVIEW = "preview"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True)
class CommandTopic:
    """A command for one device. `verb` is whatever stands there: an unknown one has to be answered by name."""

    device: str
    verb: str

    def __post_init__(self) -> None:
        _require(is_name(self.device), "device", self.device)
        _require(_is_level(self.verb), "verb", self.verb)


@dataclass(frozen=True, slots=True)
class GroupTopic:
    """A command for every member of a group; `ALL_DEVICES` is every device."""

    group: str
    verb: str

    def __post_init__(self) -> None:
        _require(_is_group(self.group), "group", self.group)
        _require(_is_level(self.verb), "verb", self.verb)


@dataclass(frozen=True, slots=True)
class DeviceTopic:
    """A document of one device."""

    device: str
    kind: DeviceKind

    def __post_init__(self) -> None:
        _require(is_name(self.device), "device", self.device)


@dataclass(frozen=True, slots=True)
class CameraTopic:
    """A picture or the availability of one camera."""

    device: str
    camera: str
    kind: CameraKind

    def __post_init__(self) -> None:
        _require(is_name(self.device), "device", self.device)
        _require(is_name(self.camera), "camera", self.camera)


Topic = CommandTopic | GroupTopic | DeviceTopic | CameraTopic


@dataclass(frozen=True, slots=True)
class TopicTree:
    """All topics below one base, which may have several levels (`site/blackbox`) and holds no wildcard."""

    base: str

    def __post_init__(self) -> None:
        for level in self.base.split("/"):
            _require(level != "" and _is_level(level), "base topic", self.base)

    def build(self, topic: Topic) -> str:
        """The topic as it goes over the wire."""
        match topic:
            case CommandTopic(device, verb):
                return f"{self.base}/{device}/{_COMMAND_LEVEL}/{verb}"
            case GroupTopic(group, verb):
                return f"{self.base}/@{group}/{_COMMAND_LEVEL}/{verb}"
            case DeviceTopic(device, kind):
                return f"{self.base}/{device}/{kind.value}"
            case CameraTopic(device, camera, kind):
                return f"{self.base}/{device}/{camera}/{kind.value}"

    def parse(self, text: str) -> Topic | None:
        """What a topic means, or None where it is none of the contract's below this base."""
        if not text.startswith(f"{self.base}/"):
            return None
        try:
            match text[len(self.base) + 1 :].split("/"):
                case [device, kind]:
                    return DeviceTopic(device, DeviceKind(kind))
                case [group, "cmd", verb] if group.startswith("@"):
                    return GroupTopic(group[1:], verb)
                case [device, "cmd", verb]:
                    return CommandTopic(device, verb)
                case [device, camera, kind]:
                    return CameraTopic(device, camera, CameraKind(kind))
        except ValueError:
            return None
        return None

    def device_commands(self, device: str) -> str:
        """The subscription filter for all commands of one device."""
        return self.build(CommandTopic(device, "")) + "+"

    def group_commands(self, group: str) -> str:
        """The subscription filter for all commands of one group."""
        return self.build(GroupTopic(group, "")) + "+"

    def every_device(self, kind: DeviceKind) -> str:
        """The subscription filter for one kind of document of all devices, for tools that look at a fleet."""
        return f"{self.base}/+/{kind.value}"


def _is_group(text: str) -> bool:
    return text == ALL_DEVICES or is_name(text)


def _is_level(text: str) -> bool:
    return _FORBIDDEN_IN_LEVEL.search(text) is None


def _require(fits: bool, what: str, text: str) -> None:
    if not fits:
        raise ValueError(f"{text!r} cannot be a {what} in a topic")
