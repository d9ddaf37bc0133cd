"""`GET /metrics`: the status and telemetry documents in Prometheus' text format, in its units and by its naming rules.

What is null in a document has no sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from edge_agent.core.model import CameraState, DeviceState
from edge_agent.core.status import AgentStatus
from edge_agent.web.guard import Guard
from edge_agent.web.history import reach
from edge_agent.web.tokens import Role

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float | None]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A metric from one number of the telemetry document at `path`; `factor` brings it to Prometheus' base units."""

    name: str
    path: tuple[str, ...]
    help: str
    factor: float = 1.0


_TELEMETRY = (
    _Figure("cpu_usage_ratio", ("cpu_percent",), "Share of all CPU time that was used.", 0.01),
    _Figure("load1", ("load_1m",), "Load average over one minute."),
    _Figure("memory_usage_ratio", ("memory_percent",), "Share of the memory that is used.", 0.01),
    _Figure("memory_available_bytes", ("memory_available_bytes",), "Memory that programs can still get."),
    _Figure("temperature_celsius", ("temperature_c",), "Temperature of the processor."),
    _Figure("under_voltage", ("under_voltage",), "1 while the supply voltage is too low."),
    _Figure("throttled", ("throttled",), "1 while the processor runs slower than it could."),
    _Figure("uptime_seconds", ("uptime_s",), "Time since the machine started."),
    _Figure("clock_synchronized", ("clock_synchronized",), "1 while the clock follows a time source."),
    _Figure("disk_free_bytes", ("disk", "free_bytes"), "Free space where recordings go."),
    _Figure("disk_size_bytes", ("disk", "total_bytes"), "Size of the disk where recordings go."),
    _Figure("disk_write_bytes_per_second", ("disk", "write_bps"), "Rate at which the disk is written.", 0.125),
    _Figure("disk_sync_seconds", ("disk", "sync_ms"), "How long syncing a small file took last.", 0.001),
    _Figure("disk_recording_left_seconds", ("disk", "recording_hours_left"), "How long the free space lasts.", 3600.0),
    _Figure("recordings", ("recordings", "count"), "Stored segments."),
    _Figure("recordings_bytes", ("recordings", "bytes"), "Size of all stored segments."),
    _Figure("recordings_extra_bytes", ("recordings", "extra_bytes"), "Size of snapshots and clips."),
    _Figure("recordings_locked_bytes", ("recordings", "locked_bytes"), "Size of the segments that are locked."),
    _Figure("offload_pending", ("offload", "pending_count"), "Segments and clips that wait to be sent elsewhere."),
    _Figure("offload_pending_bytes", ("offload", "pending_bytes"), "Size of what waits to be sent elsewhere."),
    _Figure("offload_sent_bytes_total", ("offload", "sent_bytes"), "What was sent elsewhere since the agent started."),
    _Figure("network_receive_bytes_per_second", ("network", "rx_bps"), "Rate of what comes in.", 0.125),
    _Figure("network_transmit_bytes_per_second", ("network", "tx_bps"), "Rate of what goes out.", 0.125),
    _Figure("process_cpu_usage_ratio", ("agent", "cpu_percent"), "Share of one CPU that the agent uses.", 0.01),
    _Figure("process_resident_memory_bytes", ("agent", "rss_bytes"), "Memory of the agent."),
    _Figure("process_uptime_seconds", ("agent", "uptime_s"), "Time since the agent started."),
)
_CAMERA = (
    _Figure("camera_frames_per_second", ("fps",), "Pictures that the camera delivers."),
    _Figure("camera_bytes_per_second", ("bitrate_bps",), "Rate of the recording.", 0.125),
    _Figure("camera_viewers", ("viewers",), "Live viewers."),
    _Figure("camera_dropped_frames_total", ("dropped_frames",), "Pictures that live viewers were too slow for."),
)


class Metrics(Guard):
    """The handler."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def get(self) -> None:
        house = self.house
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(exposition(house.device, house.version, house.status.value, house.telemetry.value))


def exposition(device: str, version: str, status: AgentStatus | None, telemetry: Mapping[str, Any] | None) -> str:
    """The whole page. Metrics have the same names on every device, and a label for the camera where there is one."""
    lines = list(_metric("build_info", "The agent that answers.", [({"device": device, "version": version}, 1.0)]))
    if status is not None:
        lines += _of_status(status)
    for figure in _TELEMETRY:
        lines += _metric(figure.name, figure.help, [({}, _number(telemetry or {}, figure))])
    cameras: Mapping[str, Any] = (telemetry or {}).get("cameras") or {}
    for figure in _CAMERA:
        samples: list[Sample] = [({"camera": camera}, _number(told, figure)) for camera, told in cameras.items()]
        lines += _metric(figure.name, figure.help, samples)
    return "\n".join([*lines, ""])


def _of_status(status: AgentStatus) -> Iterator[str]:
    yield from _metric(
        "state",
        "1 for the state that the device is in.",
        [({"state": one}, float(one is status.state)) for one in DeviceState],
    )
    yield from _metric(
        "camera_state",
        "1 for the state that the camera is in.",
        [
            ({"camera": camera, "state": one}, float(one is told.state))
            for camera, told in status.cameras.items()
            for one in CameraState
        ],
    )
    yield from _metric(
        "camera_recording",
        "1 while the camera records.",
        [({"camera": camera}, float(told.recording)) for camera, told in status.cameras.items()],
    )
    yield from _metric(
        "camera_restarts",
        "Times that the camera program ended unasked since the recording began.",
        [({"camera": camera}, float(told.restarts)) for camera, told in status.cameras.items()],
    )
    yield from _metric(
        "camera_verified_timestamp_seconds",
        "Up to when footage is written, synced and playable.",
        [
            ({"camera": camera}, None if told.verified_until is None else told.verified_until.timestamp())
            for camera, told in status.cameras.items()
        ],
    )
    codes = sorted({problem.code for problem in status.problems})
    yield from _metric("problem", "1 for each problem that there is.", [({"code": code}, 1.0) for code in codes])
    yield from _metric("problems", "How many problems there are.", [({}, float(len(status.problems)))])


def _number(told: Mapping[str, Any], figure: _Figure) -> float | None:
    value = reach(told, figure.path)
    return float(value) * figure.factor if isinstance(value, int | float) else None


def _metric(name: str, text: str, samples: list[Sample]) -> Iterator[str]:
    known = [(labels, value) for labels, value in samples if value is not None]
    if not known:
        return
    full = f"edge_agent_{name}"
    yield f"# HELP {full} {text}"
    yield f"# TYPE {full} {'counter' if name.endswith('_total') else 'gauge'}"
    for labels, value in known:
        told = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
        yield f"{full}{{{told}}} {value:.12g}" if told else f"{full} {value:.12g}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
