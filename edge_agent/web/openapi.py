"""The OpenAPI 3.1 document of the REST API, its schemas from the same models that build and decode the documents.

`python -m edge_agent.web.openapi VERSION` prints it. The agent itself has a child do that: `description.py`.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import Any

from edge_agent.core.commands import Verb
from edge_agent.core.model import NAME_PATTERN, Code
from edge_agent.web.files import MAX_PAGE_LIMIT, PAGE_LIMIT
from edge_agent.web.history import CURVES
from edge_agent.web.problem import CONTENT_TYPE, STATUS_OF
from edge_agent.web.settings import LIVE
from edge_agent.web.snapshots import MOST, USUAL
from edge_agent.wire import encode
from edge_agent.wire.bodies import BODIES, CommandBody
from edge_agent.wire.schema import components

_JSON = "application/json"
_NAME = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}
_LABEL = {"type": "string", "pattern": "^[A-Za-z0-9 ._-]{0,64}$"}
_INSTANT = {"type": "string", "format": "date-time"}
_PAGE = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_LIMIT, "default": PAGE_LIMIT}
_ASKED_INSTANT = {"anyOf": [_INSTANT, {"type": "number", "minimum": 0, "description": "Seconds since 1970"}]}


def openapi(version: str) -> dict[str, Any]:
    """The document for the agent's `version`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge_agent",
            "version": version,
            "description": "A blackbox recorder: commands, status, recordings and live pictures. Without credentials "
            "configured the server listens on loopback only and asks for none.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}, {"cookie": []}],
        "paths": _commands() | _state() | _recordings() | _live(),
        "components": {
            "schemas": components() | _own_schemas(),
            "responses": {"problem": _problem("What went wrong, and what to do about it")},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The token as password, any name"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "session_{device}", "description": "By /login"},
            },
        },
    }


def _own_schemas() -> dict[str, Any]:
    recording = {
        "path": {"type": "string"},
        "url": {"type": "string"},
        "thumbnail_url": {"type": ["string", "null"]},
        "camera": _NAME,
        "mode": {"type": "string"},
        "run_id": {"type": "string"},
        "started_at": _INSTANT,
        "duration_s": {"type": "number", "minimum": 0},
        "size_bytes": {"type": "integer", "minimum": 0},
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "label": {"type": ["string", "null"]},
        "locked": {"type": "boolean"},
        "lock_label": {"type": ["string", "null"], "description": "The first of lock_labels"},
        "lock_labels": {"type": "array", "items": {"type": "string"}},
        "uploaded": {"type": "boolean", "description": "Whether it lies in a store elsewhere"},
    }
    problem = {
        "v": {"const": 1},
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"enum": list(Code)},
    }
    return {
        "Problem": _object(problem, "A problem document (RFC 9457)"),
        "Recording": _object(recording, "A stored segment"),
        "RecordingPage": _object(
            {
                "v": {"const": 1},
                "recordings": {"type": "array", "items": {"$ref": "#/components/schemas/Recording"}},
                "next_cursor": {
                    "type": ["string", "null"],
                    "description": "For `cursor` of the next page; null: the end",
                },
            },
            "Recordings, newest first",
        ),
        "Session": _object(
            {
                "v": {"const": 1},
                "name": {"type": "string"},
                "role": {"enum": ["viewer", "operator"]},
                "anonymous": {"type": "boolean"},
                "xsrf_header": {"type": ["string", "null"], "description": "The header that writes by cookie need"},
                "xsrf_token": {"type": ["string", "null"], "description": "What that header has to hold"},
            },
            "Who one is",
        ),
    }


def _object(properties: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _commands() -> dict[str, Any]:
    return {f"/api/blackbox/{verb}": {"post": _command(verb, f"command_{verb}")} for verb in Verb}


def _command(verb: Verb, name: str) -> dict[str, Any]:
    body = BODIES[verb]
    answers: dict[int, list[str]] = {}
    for code, status in STATUS_OF.items():
        answers.setdefault(int(status), []).append(code)
    responses: dict[str, Any] = {
        str(status): _answer(
            ", ".join(codes), "ResultDocument", _JSON if status < HTTPStatus.BAD_REQUEST else CONTENT_TYPE
        )
        for status, codes in sorted(answers.items())
    }
    responses["202"] = _answer("accepted: it begins at the instant `at`, later", "ResultDocument")
    # A refusal by the server itself (credentials, limits) has the same statuses, but is a problem document.
    for shared in ("400", "403", "404", "413", "429", "500", "503"):
        either = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("ResultDocument", "Problem")]}
        responses[shared]["content"] = {CONTENT_TYPE: {"schema": either}}
    return {
        "operationId": name,
        "summary": str(body.__doc__),
        "tags": ["commands"],
        "requestBody": {
            "required": any(field.is_required() for field in body.model_fields.values()),
            "content": _payloads(body),
        },
        "responses": responses | {"default": _default()},
    }


def _payloads(body: type[CommandBody]) -> dict[str, Any]:
    """What a verb takes: its object, and the plain text that it takes over MQTT where it takes one."""
    keys = {"$ref": f"#/components/schemas/{body.__name__}"}
    if body.text_key is None:
        return {_JSON: {"schema": keys}}
    text = {"description": f"In place of an object: `{body.text_key}` alone"}
    return {
        _JSON: {"schema": {"anyOf": [keys, text | {"type": ["string", "number", "boolean", "null"]}]}},
        "text/plain": {"schema": text | {"type": "string"}},
    }


def _state() -> dict[str, Any]:
    with_times = dict(components()["StatusDocument"])
    with_times["properties"] = with_times["properties"] | {
        "elapsed_s": {"type": ["number", "null"], "minimum": 0},
        "remaining_s": {"type": ["number", "null"], "minimum": 0},
    }
    with_times["required"] = [*with_times["required"], "elapsed_s", "remaining_s"]
    info = _object(
        {
            "v": {"const": 1},
            "info": {"anyOf": [{"$ref": "#/components/schemas/InfoDocument"}, {"type": "null"}]},
            "telemetry": {"anyOf": [{"$ref": "#/components/schemas/TelemetryDocument"}, {"type": "null"}]},
        },
        "Who this is and what it measures",
    )
    return {
        "/api/blackbox/status": _get("status", "The state of the device", with_times, tag="state"),
        "/api/system/info": _get("info", "Who this is and what it measures", info, tag="state"),
        "/api/history": _get("history", "The last measurements and events", _history(), tag="state"),
        "/api/settings": _settings(),
        "/api/session": _get("session", "Who one is", {"$ref": "#/components/schemas/Session"}, tag="state"),
        "/api/openapi.json": _get("openapi", "This document", {"type": "object"}, tag="state"),
        "/metrics": _get("metrics", "Prometheus text format", {"type": "string"}, tag="state", kind="text/plain"),
        "/healthz": _health(),
    }


def _health() -> dict[str, Any]:
    health = _get("health", "Whether the agent answers", {"type": "string"}, tag="state", kind="text/plain")
    health["get"]["security"] = []  # whoever asks
    return health


def _history() -> dict[str, Any]:
    number = {"type": "array", "items": {"type": ["number", "null"]}}
    columns = dict.fromkeys(CURVES, number) | {"at": {"type": "array", "items": _INSTANT}}
    event = {"type": "object", "properties": {"event_type": {"type": "string"}}, "required": ["event_type"]}
    return _object(
        {
            "v": {"const": 1},
            "telemetry": _object(columns, "Measurements by column, oldest first"),
            "events": {"type": "array", "items": event, "description": "Event documents, oldest first"},
        },
        "What a page that is opened now has missed",
    )


def _settings() -> dict[str, Any]:
    fields = {
        name: {"type": "integer", "minimum": one.low, "maximum": one.high, "multipleOf": one.step}
        for name, one in LIVE.items()
    }
    live = _object(fields, "The live picture: pixels, pictures a second, JPEG quality")
    document = _object({"v": {"const": 1}, "live": live}, "What can be changed while the agent runs")
    some = {"v": {"const": 1}, "live": {**live, "required": [], "minProperties": 1}}
    changes = {**_object(some, "What to change"), "required": ["live"]}
    change = _get("change_settings", "Change some settings", document, tag="state")["get"]
    change["requestBody"] = {"required": True, "content": {_JSON: {"schema": changes}}}
    return _get("settings", "What can be changed while the agent runs", document, tag="state") | {"patch": change}


def _snapshots() -> dict[str, Any]:
    one = {
        "path": {"type": "string"},
        "url": {"type": "string"},
        "camera": {"type": "string"},
        "taken_at": _INSTANT,
        "size_bytes": {"type": "integer", "minimum": 0},
    }
    found = {"type": "array", "items": _object(one, "A stored snapshot")}
    list_ = _get(
        "snapshots",
        "Stored snapshots, newest first",
        _object({"v": {"const": 1}, "snapshots": found}, ""),
        tag="recordings",
    )
    list_["get"]["parameters"] = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL}, "How many at most")
    ]
    return list_


def _recordings() -> dict[str, Any]:
    filters = [
        _query("camera", _NAME, "Of this camera"),
        _query("mode", _NAME, "Recorded in this mode"),
        _query("from", _ASKED_INSTANT, "Footage after this instant"),
        _query("to", _ASKED_INSTANT, "Footage before this instant"),
        _query("locked", {"type": "boolean"}, "Only locked ones, or only others"),
        _query("label", _LABEL, "Recorded or locked under this label"),
        _query("limit", _PAGE, "Recordings a page"),
        _query("cursor", {"type": "string", "minLength": 1}, "`next_cursor` of the page before"),
    ]
    page = _get(
        "recordings", "Recordings, newest first", {"$ref": "#/components/schemas/RecordingPage"}, tag="recordings"
    )
    page["get"]["parameters"] = filters
    window = [
        _query("camera", _NAME, "Whose footage", required=True),
        _query("from", _ASKED_INSTANT, "Begin", required=True),
        _query("to", _ASKED_INSTANT, "End", required=True),
    ]
    clip = _get("clip", "One mp4 over segment borders", _binary(), tag="recordings", kind="video/mp4")
    clip["get"]["parameters"] = window
    file = _get("recording", "A segment, thumbnail, snapshot or clip", _binary(), tag="recordings", kind="*/*")
    file["get"]["responses"]["206"] = {"description": "The range asked for", "content": {"*/*": {"schema": _binary()}}}
    file["get"]["responses"]["304"] = {"description": "Not changed since `If-None-Match`"}
    file["get"]["parameters"] = [_path(), _query("download", {"type": "string"}, "As an attachment")]
    delete = {
        "operationId": "delete_recording",
        "summary": "Delete a segment, snapshot or clip that is not locked",
        "tags": ["recordings"],
        "responses": {"204": {"description": "Deleted"}, "default": _default()},
    }
    return {
        "/api/recordings": page,
        "/api/recordings/lock": {"post": _command(Verb.LOCK, "lock_recordings")},
        "/api/recordings/unlock": {"post": _command(Verb.UNLOCK, "unlock_recordings")},
        "/api/recordings/{path}": {"delete": delete, "parameters": [_path()]},
        "/recordings/{path}": file,
        "/api/verify/{path}": _verify(),
        "/api/clip": clip,
        "/api/snapshots": _snapshots(),
    }


def _verify() -> dict[str, Any]:
    found = {
        "v": {"const": 1},
        "path": {"type": "string"},
        "damage": {"type": ["string", "null"], "description": "What is wrong with it; null: it is sound"},
        "size_bytes": {"type": "integer", "minimum": 0},
        "frames": {"type": "integer", "minimum": 0},
    }
    check = _get("verify", "Whether a segment is sound", _object(found, "What was found"), tag="recordings")
    check["get"]["parameters"] = [_path()]
    return check


def _live() -> dict[str, Any]:
    camera = {"name": "camera", "in": "path", "required": True, "schema": {"type": "string"}}
    stream = _get("stream", "MJPEG", _binary(), tag="live", kind="multipart/x-mixed-replace")
    stream["get"]["parameters"] = [
        camera,
        _query("fps", {"type": "number", "minimum": 0.1}, "At most so many a second"),
    ]
    snapshot = _get("snapshot", "One fresh JPEG", _binary(), tag="live", kind="image/jpeg")
    snapshot["get"]["parameters"] = [camera]
    feed = _socket("live", "WebSocket of status, telemetry, events and results, the newest of each first")
    video = _socket("video", "WebSocket of a running recording as H.264 in fragmented MP4")
    video["get"]["parameters"] = [camera]
    return {
        "/stream/{camera}": stream,
        "/snapshot/{camera}.jpg": snapshot,
        "/api/live": feed,
        "/video/{camera}": video,
    }


def _get(name: str, summary: str, schema: dict[str, Any], *, tag: str, kind: str = _JSON) -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {"schema": schema}}}
    responses = {"200": answer, "default": _default()}
    return {"get": {"operationId": name, "summary": summary, "tags": [tag], "responses": responses}}


def _socket(name: str, summary: str) -> dict[str, Any]:
    responses = {"101": {"description": "The WebSocket"}, "default": _default()}
    return {"get": {"operationId": name, "summary": summary, "tags": ["live"], "responses": responses}}


def _query(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


def _path() -> dict[str, Any]:
    description = "Path in the archive, with its slashes"
    return {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}, "description": description}


def _binary() -> dict[str, Any]:
    return {"type": "string", "contentMediaType": "application/octet-stream"}


def _answer(description: str, schema: str, kind: str = _JSON) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _problem(description: str) -> dict[str, Any]:
    return _answer(description, "Problem", CONTENT_TYPE)


def _default() -> dict[str, Any]:
    return {"$ref": "#/components/responses/problem"}


if __name__ == "__main__":
    sys.stdout.buffer.write(encode(openapi(sys.argv[1])))
