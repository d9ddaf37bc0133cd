"""Home Assistant's discovery: the one document that makes a device of us there, and how it changes and goes.

Everything here is a function of its arguments: what is to be published, in which order. Home Assistant forgets nothing
that merely stops being mentioned. A component that is left out stays until its next restart and is an orphan from then
on that no message removes. So what goes is taken back in steps, and the agent keeps on disk what it has announced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.mqtt.component import Component, Device, unique_id
from edge_agent.mqtt.entities import components
from edge_agent.mqtt.topics import DeviceKind
from edge_agent.wire import encode

MANUFACTURER = "edge_agent"
SETTLE_S = 2.0
"""Between two messages on the same topic. Home Assistant sets a component up before it can take it away, and drops what
comes for all the others while one is not ready yet (discovery.py of its mqtt integration, 2025.4)."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One message of a plan. Empty `payload` and `retain` clear the topic."""

    topic: str
    payload: bytes = field(repr=False)
    retain: bool = True


Plan = tuple[Publication, ...]
"""Messages in their order, at QoS 1, none skipped for a newer one of its topic, paced as `paced` says."""


def paced(plan: Plan) -> Iterator[tuple[Publication, bool]]:
    """Each message, and whether `SETTLE_S` has to pass before it: between any two of one topic."""
    settling: set[str] = set()
    for publication in plan:
        settles = publication.topic in settling
        if settles:
            settling.clear()
        settling.add(publication.topic)
        yield publication, settles


def discovery_topic(prefix: str, device: str) -> str:
    """Where the document stands. `prefix` as set in Home Assistant, `homeassistant` unless changed."""
    return f"{prefix}/device/{_object_id(device)}/config"


def discovery_document(device: Device) -> dict[str, Any]:
    """The whole device. Equal arguments make equal documents, which Home Assistant ignores when they come again.

    Nothing volatile belongs into `device` and `origin`: a change there updates every entity. One key too many at the
    root, in `device` or in `origin` would lose them all.
    """
    origin = {"name": "edge_agent", "sw_version": device.version, "support_url": _http(device.support_url)}
    about = {
        "identifiers": [_object_id(device.id)],
        "name": device.name,
        "manufacturer": MANUFACTURER,
        "model": device.model,
        "serial_number": device.serial,
        "sw_version": device.version,
        "configuration_url": _http(device.url),
    }
    return {
        "device": _told(about),
        "origin": _told(origin),
        "availability": [{"topic": device.topic(DeviceKind.AVAILABILITY)}],
        "components": components(device),
    }


def announced(document: Mapping[str, Any]) -> dict[str, str]:
    """What has to be remembered of a published document: the platform of each component by its key."""
    return {key: component["platform"] for key, component in document["components"].items()}


def announcement(prefix: str, device: Device, before: Mapping[str, str]) -> Plan:
    """Publish the document; `before` is what `announced` said of the last one, empty if there was none."""
    return (*removal_steps(prefix, device, before), _published(prefix, device, discovery_document(device)))


def removal_steps(prefix: str, device: Device, before: Mapping[str, str]) -> Plan:
    """What has to go ahead of the document so that vanished components vanish; empty if none did.

    First they are announced once more, as little as their platform takes: what became an orphan by a restart of Home
    Assistant is its own again by that. Then comes the platform alone, which removes them.
    """
    document = discovery_document(device)
    now = announced(document)
    vanished = {key: platform for key, platform in before.items() if now.get(key) != platform}
    if not vanished:
        return ()
    stubs = {key: _stub(device, key, platform) for key, platform in vanished.items()}
    gone = {key: {"platform": platform} for key, platform in vanished.items()}
    return tuple(
        _published(prefix, device, document | {"components": document["components"] | step}) for step in (stubs, gone)
    )


def withdrawal(prefix: str, device: Device, before: Mapping[str, str]) -> Plan:
    """Take everything back, device included.

    It is announced once more before, so that Home Assistant also forgets what it has only kept over a restart.
    """
    document = discovery_document(device)
    known = {key: _stub(device, key, platform) for key, platform in before.items()}
    whole = document | {"components": known | document["components"]}
    return (_published(prefix, device, whole), Publication(discovery_topic(prefix, device.id), b""))


def earlier_topics(prefix: str, device: str) -> str:
    """The subscription filter that finds what a layout with one topic per entity has left at the broker."""
    return f"{prefix}/+/{_object_id(device)}/+/config"


def migration(prefix: str, device: Device, found: Iterable[str]) -> Plan:
    """Move from topics of one entity each to the document, with entity ids, names, areas and history kept.

    `found` are the retained topics that `earlier_topics` found, `{prefix}/{platform}/{device}/{key}/config`. Where key
    and unique id stayed, so does the entity; what the document does not have any more is removed.
    """
    earlier = {topic: part for topic in found if (part := _earlier(prefix, device.id, topic)) is not None}
    if not earlier:
        return ()
    leave = tuple(Publication(topic, encode({"migrate_discovery": True}), retain=False) for topic in earlier)
    clear = tuple(Publication(topic, b"") for topic in earlier)
    document = discovery_document(device)
    stubs = {key: _stub(device, key, platform) for key, platform in earlier.values()}
    moved = _published(prefix, device, document | {"components": stubs | document["components"]})
    # Home Assistant lets go of what is told to move, so that clearing removes nothing. Later it would be a conflict.
    return (*leave, *clear, moved, *announcement(prefix, device, dict(earlier.values())))


def _object_id(device: str) -> str:
    return f"edge_agent_{device}"


def _earlier(prefix: str, device: str, topic: str) -> tuple[str, str] | None:
    """Key and platform of a topic of one entity, None for any other."""
    if not topic.startswith(f"{prefix}/"):
        return None
    match topic[len(prefix) + 1 :].split("/"):
        case [platform, node, key, "config"] if node == _object_id(device) and platform in _PLATFORM_NEEDS:
            return key, platform
    return None


def _published(prefix: str, device: Device, document: Mapping[str, Any]) -> Publication:
    return Publication(discovery_topic(prefix, device.id), encode(document))


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _http(url: str | None) -> str | None:
    """A link, or None where it is no such thing: an address without its scheme would lose the whole document."""
    return url if url is not None and url.startswith(("http://", "https://")) else None


_PLATFORM_NEEDS: dict[str, tuple[str, ...]] = {
    "binary_sensor": ("state_topic",),
    "button": ("command_topic",),
    "camera": ("topic",),
    "device_automation": ("topic",),
    "event": ("state_topic",),
    "image": ("image_topic",),
    "number": ("command_topic",),
    "select": ("command_topic",),
    "sensor": ("state_topic",),
    "switch": ("command_topic",),
}
"""The topics that Home Assistant demands of each platform that was ever announced."""
_PLATFORM_NEEDS_MORE: dict[str, Component] = {
    "device_automation": {"automation_type": "trigger", "type": "removed", "subtype": "removed"},
    "event": {"event_types": ["removed"]},
    "select": {"options": ["removed"]},
}


def _stub(device: Device, key: str, platform: str) -> Component:
    """The least that Home Assistant takes for a component. Its topic is one that keeps nothing and tells it nothing."""
    topics = dict.fromkeys(_PLATFORM_NEEDS.get(platform, ("state_topic",)), device.topic(DeviceKind.RESULT))
    quiet = {"value_template": "{{ '' }}"} if "state_topic" in topics else {}
    identity = {} if platform == "device_automation" else {"unique_id": unique_id(device.id, key)}
    return {"platform": platform, **identity, **topics, **quiet, **_PLATFORM_NEEDS_MORE.get(platform, {})}
