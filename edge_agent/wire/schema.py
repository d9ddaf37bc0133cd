"""The contract for machines: a JSON Schema (2020-12) for every document and every command's JSON, from the models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from edge_agent.core.commands import Verb
from edge_agent.wire.bodies import BODIES, CommandBody, keys_of
from edge_agent.wire.documents import ResultDocument, StatusDocument, TelemetryDocument
from edge_agent.wire.events import EVENTS
from edge_agent.wire.info import InfoDocument
from edge_agent.wire.parts import Document

DIALECT = GenerateJsonSchema.schema_dialect
DOCUMENTS: dict[str, type[Document]] = {
    "result": ResultDocument,
    "info": InfoDocument,
    "status": StatusDocument,
    "telemetry": TelemetryDocument,
}


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that would repeat the keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by name: `result`, `info`, `status`, `telemetry`, `event`, and `command.{verb}`."""
    found = {name: _schema(name, model, "serialization") for name, model in DOCUMENTS.items()}
    found["event"] = event_schema()
    for verb, model in BODIES.items():
        found[f"command.{verb}"] = command_schema(verb, model)
    return found


def components() -> dict[str, Any]:
    """The same schemas by model name, referring to each other below `#/components/schemas/`.

    For the AsyncAPI and OpenAPI documents, which keep all schemas in one place.
    """
    outward: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization") for model in (*DOCUMENTS.values(), *EVENTS.values())
    ]
    inward: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in BODIES.values()]
    _, together = models_json_schema(
        outward + inward, by_alias=True, ref_template="#/components/schemas/{model}", schema_generator=_Untitled
    )
    found: dict[str, Any] = together["$defs"]
    for model in BODIES.values():
        found[model.__name__]["additionalProperties"] = True
    found["EventDocument"] = {
        "description": "One thing that happened",
        "oneOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in EVENTS.values()],
    }
    return found


def event_schema() -> dict[str, Any]:
    """The schema of events: one of the types, told apart by `event_type`."""
    kinds = {model.__name__: _bare(model, "serialization") for model in EVENTS.values()}
    shared: dict[str, Any] = {}
    for schema in kinds.values():
        shared |= schema.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "title": "event",
        "description": "One thing that happened",
        "type": "object",
        "required": ["v", "event_type", "device", "at"],
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": kinds | shared,
    }


def command_schema(verb: Verb, model: type[CommandBody]) -> dict[str, Any]:
    """The schema of a verb's JSON. Unknown keys are ignored with a warning, so the schema leaves them open."""
    schema = _schema(f"command.{verb}", model, "validation")
    schema["additionalProperties"] = True
    if model.text_key:
        schema["description"] += f" As plain text: the value of `{model.text_key}`."
    elif not keys_of(model):
        schema["description"] += " As plain text: an empty payload."
    return schema


def _schema(name: str, model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    return {"$schema": DIALECT, **_bare(model, mode), "title": name}


def _bare(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    return model.model_json_schema(mode=mode, by_alias=True, schema_generator=_Untitled)
