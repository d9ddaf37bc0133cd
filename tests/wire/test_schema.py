from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge_agent.core.commands import Origin, Verb
from edge_agent.core.model import Now
from edge_agent.mqtt.topics import TopicTree
from edge_agent.wire import decode_command
from edge_agent.wire.asyncapi import asyncapi
from edge_agent.wire.schema import components, schemas

SCHEMAS = schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_a_json_schema_of_2020_12(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


def test_there_is_a_schema_for_every_document_and_every_verb() -> None:
    assert set(SCHEMAS) == {"result", "info", "status", "telemetry", "event", *(f"command.{verb}" for verb in Verb)}


@pytest.mark.parametrize(
    ("verb", "body", "fits"),
    [
        ("start", {}, True),
        ("start", {"mode": "dual-640", "duration": "1h30m", "label": "a"}, True),
        ("start", {"duration": 90, "unknown": 1}, True),
        ("start", {"duration": "90"}, True),
        ("start", {"duration": "5 parsecs"}, False),
        ("start", {"duration": -1}, False),
        ("start", {"duration": "-1"}, False),
        ("start", {"duration": True}, False),
        ("start", {"mode": "../../etc"}, False),
        ("start", {"cameras": []}, False),
        ("start", {"cameras": ["cam0"], "resolution": "4k"}, False),
        ("start", {"label": "a/b"}, False),
        ("start", {"id": ""}, False),
        ("start", {"v": 2}, False),
        ("mode", {}, False),
        ("record", {"state": "ON"}, True),
        ("record", {"state": "maybe"}, False),
        ("clip", {"camera": "cam0", "from": "2026-11-23T09:15:00Z", "to": 1795425400}, True),
        ("clip", {"camera": "cam0"}, False),
        ("lock", {"before": "5m"}, True),
    ],
)
def test_a_commands_schema_and_its_decoder_agree(verb: str, body: dict[str, Any], fits: bool) -> None:
    assert Draft202012Validator(SCHEMAS[f"command.{verb}"]).is_valid(body) is fits
    received = Now(1.0, datetime(2026, 11, 23, tzinfo=UTC))
    payload = json.dumps(body).encode()
    command = decode_command(verb, payload, received=received, origin=Origin.HTTP, new_id=lambda: "1")
    assert (command.refusal is None) is fits


def test_the_asyncapi_document_refers_to_nothing_that_is_missing() -> None:
    document = asyncapi("0.1.0")

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert found
    for reference in found:
        at: Any = document
        for step in reference.removeprefix("#/").split("/"):
            at = at[step]
    assert document["components"]["schemas"] == components()
    json.dumps(document)


def test_every_address_of_the_asyncapi_document_is_a_topic_of_the_agent() -> None:
    topics = TopicTree("blackbox")
    addresses = {name: channel["address"] for name, channel in asyncapi("0.1.0")["channels"].items()}
    for name, address in addresses.items():
        topic = topics.parse(address.format(base="blackbox", device="van7", group="vans", camera="cam0"))
        assert topic is not None, name
    assert len(set(addresses.values())) == len(addresses)


def test_commands_are_received_and_never_retained_while_documents_are_sent() -> None:
    for name, operation in asyncapi("0.1.0")["operations"].items():
        mqtt = operation["bindings"]["mqtt"]
        assert operation["action"] == ("receive" if "command" in name else "send")
        if "command" in name:
            assert mqtt == {"qos": 1, "retain": False, "bindingVersion": "0.2.0"}
