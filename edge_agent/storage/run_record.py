"""The JSON of `run.json`, built and read in one place.

Unknown keys are ignored, so that an older agent can adopt the run of a newer one; `v` counts changes that it could not.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from edge_agent.core.model import Now, ProcessIdentity, Profile, Purpose, Run, RunRecord, Session

VERSION = 1


def encode_record(record: RunRecord) -> bytes:
    """The record as indented JSON: people read it after a crash."""
    run, session, process = record.run, record.session, record.process
    document = {
        "v": VERSION,
        "run": {
            "run_id": run.run_id,
            "sequence": run.sequence,
            "camera": run.camera,
            "purpose": run.purpose.value,
            "mode": run.mode,
            "width": run.profile.width,
            "height": run.profile.height,
            "fps": run.profile.fps,
            "bitrate_bps": run.profile.bitrate_bps,
            "quality": run.profile.quality,
        },
        "session": {
            "id": session.id,
            "mode": session.mode,
            "cameras": list(session.cameras),
            "step": session.step,
            "duration_s": session.duration_s,
            "label": session.label,
            "started": _now_out(session.started),
        },
        "argv": list(record.argv),
        "spawned": _now_out(record.spawned),
        "process": {"pid": process.pid, "start_ticks": process.start_ticks, "boot_id": process.boot_id}
        if process
        else None,
        "first_frame": _now_out(record.first_frame),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def decode_record(content: bytes) -> RunRecord:
    """The record that `encode_record` wrote. Raises `ValueError` for anything else, a newer version included."""
    try:
        document = json.loads(content)
        if document["v"] != VERSION:
            raise ValueError(f"run.json has version {document['v']}, this agent reads {VERSION}")
        return RunRecord(
            run=_run_in(document["run"]),
            session=_session_in(document["session"]),
            argv=tuple(_text(word) for word in document["argv"]),
            spawned=_now_in(document["spawned"]),
            process=_process_in(document["process"]) if document["process"] else None,
            first_frame=_now_in(document["first_frame"]) if document["first_frame"] else None,
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"run.json is not a run record: {error!r}") from error


def _run_in(document: dict[str, Any]) -> Run:
    profile = Profile(
        width=_whole(document["width"]),
        height=_whole(document["height"]),
        fps=_whole(document["fps"]),
        bitrate_bps=_whole(document["bitrate_bps"]),
        quality=_whole(document["quality"]),
    )
    return Run(
        run_id=_text(document["run_id"]),
        sequence=_whole(document["sequence"]),
        camera=_text(document["camera"]),
        purpose=Purpose(document["purpose"]),
        profile=profile,
        mode=_text(document["mode"]),
    )


def _session_in(document: dict[str, Any]) -> Session:
    return Session(
        id=_text(document["id"]),
        mode=_text(document["mode"]),
        cameras=tuple(_text(camera) for camera in document["cameras"]),
        step=_whole(document["step"]),
        duration_s=float(document["duration_s"]),
        label=_text(document["label"]) if document["label"] is not None else None,
        started=_now_in(document["started"]) if document["started"] else None,
    )


def _process_in(document: dict[str, Any]) -> ProcessIdentity:
    return ProcessIdentity(_whole(document["pid"]), _whole(document["start_ticks"]), _text(document["boot_id"]))


def _now_out(now: Now | None) -> dict[str, Any] | None:
    return {"mono_s": now.mono_s, "wall": now.wall.astimezone(UTC).isoformat()} if now else None


def _now_in(document: dict[str, Any]) -> Now:
    wall = datetime.fromisoformat(document["wall"])
    if wall.tzinfo is None:
        raise ValueError(f"{document['wall']} has no time zone")
    return Now(float(document["mono_s"]), wall.astimezone(UTC))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value
