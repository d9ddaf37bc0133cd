"""The MQTT contract as an AsyncAPI 3.0 document: topics with their direction, QoS, retain flag and payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_agent.core.commands import Verb
from edge_agent.core.model import NAME_PATTERN
from edge_agent.wire.bodies import BODIES
from edge_agent.wire.schema import components


@dataclass(frozen=True, slots=True)
class _Topic:
    """One topic as its subscribers see it. `schema` None: the payload is `content_type` and has no schema."""

    name: str
    address: str
    qos: int
    retained: bool
    content_type: str
    schema: dict[str, Any] | None
    summary: str
    command: bool = False


def asyncapi(version: str) -> dict[str, Any]:
    """The document for the agent's `version`."""
    topics = [*_published(), *_obeyed()]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge_agent",
            "version": version,
            "description": "Commands to a blackbox recorder and what it tells. Every JSON document starts with "
            '`"v": 1`. Publish commands with QoS 1 and never retained.',
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {topic.name: _operation(topic) for topic in topics},
        "components": {"schemas": components()},
    }


def _published() -> list[_Topic]:
    def document(name: str, qos: int, retained: bool, summary: str) -> _Topic:
        schema = {"$ref": f"#/components/schemas/{name.capitalize()}Document"}
        return _Topic(name, f"{{base}}/{{device}}/{name}", qos, retained, "application/json", schema, summary)

    def word(name: str, address: str, summary: str) -> _Topic:
        schema = {"type": "string", "enum": ["online", "offline"]}
        return _Topic(name, address, 1, True, "text/plain", schema, summary)

    def picture(name: str, retained: bool, summary: str) -> _Topic:
        return _Topic(name, f"{{base}}/{{device}}/{{camera}}/{name}", 0, retained, "image/jpeg", None, summary)

    return [
        document("result", 1, False, "The answer to a command, also sent to its MQTT 5 response topic"),
        document("info", 1, True, "Who this device is and what it can do"),
        document("status", 1, True, "The state of the device, on change only"),
        document("telemetry", 0, True, "What the machine measures, every `telemetry.interval_s`"),
        document("event", 1, False, "One thing that happened"),
        word("availability", "{base}/{device}/availability", "Whether the agent is there; `offline` is its last will"),
        word("camera_availability", "{base}/{device}/{camera}/availability", "Whether the camera is there"),
        picture("snapshot", True, "The last snapshot"),
        picture("preview", False, "A small picture now and then while the camera runs"),
    ]


def _obeyed() -> list[_Topic]:
    topics = []
    for verb in Verb:
        body = BODIES[verb]
        payload = {"oneOf": [{"$ref": f"#/components/schemas/{body.__name__}"}, {"type": "string"}]}
        summary = str(body.__doc__)
        for kind, where in (("command", "{device}"), ("group_command", "@{group}")):
            address = f"{{base}}/{where}/cmd/{verb}"
            topics.append(
                _Topic(f"{kind}_{verb}", address, 1, False, "application/json", payload, summary, command=True)
            )
    return topics


_PARAMETERS = {
    "base": {"description": "`mqtt.base_topic`", "default": "blackbox"},
    "device": {"description": f"The device's name: {NAME_PATTERN}"},
    "group": {"description": "A group of `device.groups`, or `all` for every device"},
    "camera": {"description": "A camera's name", "examples": ["cam0", "cam1"]},
}


def _channel(topic: _Topic) -> dict[str, Any]:
    message: dict[str, Any] = {"contentType": topic.content_type, "summary": topic.summary}
    if topic.schema is not None:
        message["payload"] = topic.schema
    return {
        "address": topic.address,
        "messages": {topic.name: message},
        "parameters": {name: told for name, told in _PARAMETERS.items() if f"{{{name}}}" in topic.address},
    }


def _operation(topic: _Topic) -> dict[str, Any]:
    return {
        "action": "receive" if topic.command else "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "summary": topic.summary,
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained, "bindingVersion": "0.2.0"}},
    }
