"""What components of a discovery document are made of: the device they are for, templates, and what kinds share.

How Home Assistant takes what a template gives decides the template's form: a number may be empty (the old value stays)
and must not be text, an enum or an instant must be None and not empty, a switch keeps its state on an empty text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.core.commands import Verb
from edge_agent.core.model import Camera, Mode
from edge_agent.mqtt.topics import CameraKind, CameraTopic, CommandTopic, DeviceKind, DeviceTopic, TopicTree

TELEMETRY_INTERVALS_VALID = 3
"""After so many intervals without telemetry its figures are unavailable rather than old."""

Component = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What discovery says of one device.

    `name` is what people read. `url` is where a browser reaches its page, None if nothing listens; `support_url` is the
    project's. `model` and `serial` describe the machine where it tells. `telemetry_interval_s` as configured;
    `previews` says whether small pictures are published.
    """

    id: str
    name: str
    version: str
    cameras: tuple[Camera, ...]
    modes: tuple[Mode, ...]
    base_topic: str = "blackbox"
    url: str | None = None
    support_url: str | None = None
    model: str = "Blackbox"
    serial: str | None = None
    suggest_entity_ids: bool = True
    telemetry_interval_s: float = 30.0
    previews: bool = True
    tree: TopicTree = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", TopicTree(self.base_topic))

    def topic(self, kind: DeviceKind) -> str:
        return self.tree.build(DeviceTopic(self.id, kind))

    def camera_topic(self, camera: str, kind: CameraKind) -> str:
        return self.tree.build(CameraTopic(self.id, camera, kind))

    def command(self, verb: Verb) -> str:
        return self.tree.build(CommandTopic(self.id, verb))


def unique_id(device: str, key: str) -> str:
    """The entity's identity for Home Assistant. The dot, which no name holds, keeps devices apart: a_b from a."""
    return f"edge_agent_{device}.{key}"


def complete(device: Device, key: str, component: Component) -> Component:
    """A component with what all have. QoS stands in each because it is not inherited before Home Assistant 2026.5."""
    platform = component["platform"]
    common: Component = {"platform": platform, "qos": 1}
    if platform != "device_automation":
        common["unique_id"] = unique_id(device.id, key)
        if device.suggest_entity_ids:
            slug = f"{device.id}_{key}".replace("-", "_")
            # The first is for Home Assistant up to 2025.9, the second from 2025.10 on; both together warn nowhere.
            common |= {"object_id": slug, "default_entity_id": f"{platform}.{slug}"}
    return common | component


# -- templates --------------------------------------------------------------------------------------------------------


def number(path: str, divisor: float = 1, digits: int = 0) -> str:
    """A number, rounded so that noise is not stored: missing keeps the old value, null becomes unknown."""
    scaled = "x" if divisor == 1 else f"(x / {divisor:g})"
    rounded = f"round({digits})" if digits > 0 else f"round({digits}) | int"
    return f"{{% set x = {path} | default('') %}}{{{{ {scaled} | {rounded} if x is number else x }}}}"


def text(path: str) -> str:
    """A word of a set, an instant, or free text: what is missing is unknown."""
    return f"{{{{ {path} | default(none) }}}}"


def boolean(path: str) -> str:
    """ON and OFF of a JSON boolean: missing keeps the old state, null becomes unknown."""
    return f"{{{{ {{true: 'ON', false: 'OFF', none: 'None'}}.get({path}, '') }}}}"


def of_camera(camera: str, key: str) -> str:
    """The place of a camera's value; a document from before the camera was added does not have it."""
    return f"value_json.get('cameras', {{}}).get('{camera}', {{}}).{key}"


def one_of(path: str, names: Iterable[str]) -> str:
    return f"{path} in {json.dumps(list(names))}"


def attributes(**paths: str) -> str:
    """Attributes as one JSON object; anything else would be a warning for each message."""
    pairs = ", ".join(f"'{name}': {path} | default(none)" for name, path in paths.items())
    return f"{{{{ {{{pairs}}} | tojson }}}}"


# -- what kinds of components share -----------------------------------------------------------------------------------

DIAGNOSTIC: Component = {"entity_category": "diagnostic"}
RARELY: Component = {"enabled_by_default": False}
"""What changes often or is seldom looked at: one click away on the device's page."""
GB = {"device_class": "data_size", "unit_of_measurement": "GB", "suggested_display_precision": 1}
MB = {"device_class": "data_size", "unit_of_measurement": "MB", "suggested_display_precision": 0}
PERCENT = {"unit_of_measurement": "%", "suggested_display_precision": 0}
MBPS = {"device_class": "data_rate", "unit_of_measurement": "Mbit/s", "suggested_display_precision": 2}


def sensor(topic: str, name: str, template: str, **options: Any) -> Component:
    return {"platform": "sensor", "name": name, "state_topic": topic, "value_template": template, **options}


def figure(device: Device, name: str, template: str, *kinds: Mapping[str, Any], **options: Any) -> Component:
    """A figure of the telemetry, with long-term statistics."""
    together = {key: value for kind in kinds for key, value in kind.items()}
    return telemetry(device, sensor("", name, template, state_class="measurement", **together, **options))


def telemetry(device: Device, component: Component) -> Component:
    """A diagnostic entity that reads the telemetry and grows stale with it."""
    valid_s = math.ceil(TELEMETRY_INTERVALS_VALID * device.telemetry_interval_s)
    read = {"state_topic": device.topic(DeviceKind.TELEMETRY), "expire_after": valid_s}
    return component | read | DIAGNOSTIC
