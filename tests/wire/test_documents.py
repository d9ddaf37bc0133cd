from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from edge_agent.core.commands import Result
from edge_agent.core.model import (
    CameraState,
    Code,
    DeviceState,
    EventType,
    Mode,
    Problem,
    Profile,
    Purpose,
    ResultStatus,
    Step,
)
from edge_agent.core.status import AgentStatus, CameraStatus
from edge_agent.wire import (
    About,
    CameraAbout,
    encode,
    event_document,
    info_document,
    result_document,
    status_document,
    telemetry_document,
)
from edge_agent.wire.events import EVENTS
from edge_agent.wire.schema import schemas

AT = datetime(2026, 11, 23, 9, 15, 0, 250_000, tzinfo=UTC)
SCHEMAS = schemas()

RESULT = Result(
    id="01JB7",
    verb="start",
    status=ResultStatus.SUCCEEDED,
    code=Code.OK,
    message="recording dual-640 on cam0, cam1",
    at=AT,
    took_ms=840,
)
STATUS = AgentStatus(
    state=DeviceState.RECORDING,
    mode="dual-640",
    selected_mode="dual-640",
    duration_s=600.0,
    started_at=AT,
    ends_at=AT + timedelta(minutes=10),
    label=None,
    cameras={
        "cam0": CameraStatus(
            state=CameraState.RUNNING,
            recording=True,
            width=640,
            height=480,
            fps=30,
            segment="640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4",
            verified_until=AT,
            restarts=0,
            error=None,
            purpose=Purpose.RECORD,
        ),
        "cam1": CameraStatus(CameraState.FATAL, False, None, None, None, None, None, 5, "no camera", None),
    },
    problems=(Problem("disk_low", "delete something", AT),),
    last_command=RESULT,
)
ABOUT = About(
    device="van7",
    name="Van 7",
    groups=("vans",),
    version="0.1.0",
    boot_id="5f0c",
    started_at=AT,
    simulated=False,
    rpicam_program="/usr/bin/rpicam-vid",
    rpicam_version="1.5.3",
    http_url=None,
    base_topic="blackbox",
    protocol="5",
)
MODES = (
    Mode("dual-640", ("cam0", "cam1"), Purpose.RECORD, (Step(Profile(640, 480, 30)),)),
    Mode("demo", ("cam0",), Purpose.RECORD, (Step(Profile(640, 480, 30), 5), Step(Profile(1280, 720, 30), 5))),
)


def holds(name: str, document: dict[str, Any]) -> bool:
    """Whether a document fits its schema after the way over the wire, and says its version first."""
    sent = encode(document)
    assert sent.startswith(b'{"v":1,')
    Draft202012Validator(SCHEMAS[name], format_checker=Draft202012Validator.FORMAT_CHECKER).validate(json.loads(sent))
    return True


def test_a_result_is_the_documented_document() -> None:
    assert encode(result_document("van7", RESULT)) == (
        b'{"v":1,"id":"01JB7","verb":"start","status":"succeeded","code":"ok",'
        b'"message":"recording dual-640 on cam0, cam1","device":"van7","at":"2026-11-23T09:15:00Z","took_ms":840,'
        b'"duplicate":false,"warnings":[],"data":{}}'
    )
    assert holds("result", result_document("van7", RESULT))


def test_a_status_has_the_documented_keys_in_their_order() -> None:
    document = status_document("van7", "5f0c", AT, STATUS)
    assert list(document) == [
        *("v", "device", "boot_id", "at", "state", "mode", "selected_mode", "duration_s", "started_at", "ends_at"),
        *("label", "cameras", "problems", "last_command"),
    ]
    assert document["cameras"]["cam0"] == {
        "state": "running",
        "recording": True,
        "width": 640,
        "height": 480,
        "fps": 30,
        "segment": "640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4",
        "verified_until": "2026-11-23T09:15:00Z",
        "restarts": 0,
        "error": None,
    }
    assert document["last_command"] == {
        "id": "01JB7",
        "verb": "start",
        "status": "succeeded",
        "code": "ok",
        "at": "2026-11-23T09:15:00Z",
    }
    assert document["ends_at"] == "2026-11-23T09:25:00Z"
    assert b'"duration_s":600,' in encode(document)
    assert holds("status", document)


def test_an_idle_status_says_null_and_not_nothing() -> None:
    idle = AgentStatus(DeviceState.IDLE, None, "dual-640", 0.0, None, None, None, {}, (), None)
    document = status_document("van7", "5f0c", AT, idle)
    assert document["started_at"] is None
    assert document["last_command"] is None
    assert holds("status", document)


def test_telemetry_fills_what_this_machine_does_not_have_with_null() -> None:
    document = telemetry_document("van7", AT, {"cpu_percent": 3.5, "disk": {"free_bytes": 5}, "cameras": {"cam0": {}}})
    assert document["cpu_percent"] == 3.5
    assert document["temperature_c"] is None
    assert document["disk"]["total_bytes"] is None
    assert document["cameras"]["cam0"]["fps"] is None
    assert holds("telemetry", document)


@pytest.mark.parametrize("values", [{"cpu_percnt": 1}, {"disk": {"free": 1}}, {"cpu_percent": float("nan")}])
def test_telemetry_refuses_what_is_not_documented(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        telemetry_document("van7", AT, values)


def test_info_says_who_this_is_and_what_it_can_do() -> None:
    document = info_document(ABOUT, AT, [CameraAbout("cam0", "Front", 0, "imx708", present=True)], MODES)
    assert document["modes"][1] == {
        "name": "demo",
        "cameras": ["cam0"],
        "purpose": "record",
        "resolution": "640",
        "timed": True,
        "steps": [
            {"width": 640, "height": 480, "fps": 30, "length_s": 5},
            {"width": 1280, "height": 720, "fps": 30, "length_s": 5},
        ],
    }
    assert "start" in document["verbs"]
    assert holds("info", document)


EVENT_FIELDS: dict[EventType, dict[str, Any]] = {
    EventType.AGENT_STARTED: {"adopted": 2},
    EventType.RECORDING_STARTED: {"mode": "dual-640", "cameras": ["cam0"], "label": None},
    EventType.RECORDING_STOPPED: {"mode": "dual-640", "cameras": ["cam0"], "label": None, "reason": "duration"},
    EventType.SEGMENT_STORED: {
        "camera": "cam0",
        "path": "640x480/cam0/a.mp4",
        "started_at": AT,
        "duration_s": 60.0,
        "size_bytes": 5,
        "locked": False,
    },
    EventType.SEGMENT_DELETED: {"camera": "cam0", "path": "640x480/cam0/a.mp4"},
    EventType.SEGMENT_LOCKED: {"camera": "cam0", "path": "640x480/cam0/a.mp4"},
    EventType.SNAPSHOT_TAKEN: {"camera": "cam0", "path": "snapshots/cam0/a.jpg"},
    EventType.CLIP_READY: {"camera": "cam0", "path": "clips/a.mp4", "url": "/recordings/clips/a.mp4"},
    EventType.FOOTAGE_UPLOADED: {
        "camera": "cam0",
        "path": "640x480/cam0/a.mp4",
        "size_bytes": 5,
        "bucket": "footage",
        "key": "van7/640x480/cam0/a.mp4",
        "released": False,
    },
    EventType.CAMERA_FAULT: {"camera": "cam0", "code": "no_frames", "message": "look at the cable"},
    EventType.CAMERA_RECOVERED: {"camera": "cam0"},
    EventType.STORAGE_LOW: {"free_bytes": 5},
    EventType.STORAGE_FULL: {"message": "delete something"},
    EventType.COMMAND_REFUSED: {"id": "1", "verb": "x", "code": Code.MALFORMED, "message": "no", "by": None},
    EventType.CLOCK_STEPPED: {"step_s": -3600.0},
}


@pytest.mark.parametrize("event_type", EventType)
def test_every_event_type_has_a_document_that_fits_its_schema(event_type: EventType) -> None:
    document = event_document("van7", event_type, AT, EVENT_FIELDS[event_type])
    assert list(document)[:4] == ["v", "event_type", "device", "at"]
    assert document["at"] == "2026-11-23T09:15:00.250Z"
    assert holds("event", document)
    assert event_type in EVENTS


def test_a_comparison_picture_is_of_no_single_camera() -> None:
    fields = {"camera": None, "cameras": ["cam0", "cam1"], "path": "snapshots/comparison/a.jpg"}
    document = event_document("van7", EventType.SNAPSHOT_TAKEN, AT, fields)
    assert document["cameras"] == ["cam0", "cam1"]
    assert holds("event", document)


def test_an_event_without_the_fields_of_its_type_is_not_published() -> None:
    with pytest.raises(ValidationError):
        event_document("van7", EventType.SEGMENT_STORED, AT, {"camera": "cam0"})


def test_instants_are_utc_and_rounded_down_wherever_they_come_from() -> None:
    late = datetime(2026, 11, 24, 0, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=9)))
    document = status_document("van7", "5f0c", late, STATUS)
    assert document["at"] == "2026-11-23T15:59:59Z"


@given(st.text())
def test_a_message_of_any_characters_becomes_utf_8_json(message: str) -> None:
    changed = Result("1", "start", ResultStatus.FAILED, Code.INTERNAL, message, AT, 0)
    assert json.loads(encode(result_document("van7", changed)))["id"] == "1"


def test_half_of_a_surrogate_pair_from_a_program_does_not_stop_an_answer() -> None:
    changed = Result("1", "start", ResultStatus.FAILED, Code.INTERNAL, "stderr said \udcff", AT, 0)
    assert json.loads(encode(result_document("van7", changed)))["message"] == "stderr said ?"
