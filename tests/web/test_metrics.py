from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.web.metrics import exposition
from edge_agent.wire import telemetry_document
from tests.fakes.web import AT, STATUS, serving

TELEMETRY = telemetry_document(
    "van7",
    datetime(2026, 11, 23, 9, 15, tzinfo=UTC),
    {
        "cpu_percent": 12.5,
        "throttled": False,
        "disk": {"free_bytes": 123456789012, "sync_ms": 4.0, "write_bps": 8000},
        "cameras": {"cam0": {"fps": 29.97, "dropped_frames": 3}},
    },
)
LINE = re.compile(r'([a-z][a-z0-9_]*)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+)')


def samples(text: str) -> dict[str, float]:
    """Every sample by its name with labels; each line is read strictly."""
    found: dict[str, float] = {}
    declared: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert kind == ("counter" if name.endswith("_total") else "gauge")
            assert name not in declared
            declared.add(name)
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            assert match[1] in declared
            key = line.rpartition(" ")[0]
            assert key not in found
            found[key] = float(match[3])
    return found


def test_figures_come_in_base_units_under_conventional_names() -> None:
    found = samples(exposition("van7", "0.1.0", STATUS, TELEMETRY))
    assert found['edge_agent_build_info{device="van7",version="0.1.0"}'] == 1
    assert found["edge_agent_cpu_usage_ratio"] == 0.125
    assert found["edge_agent_disk_free_bytes"] == 123456789012
    assert found["edge_agent_disk_sync_seconds"] == 0.004
    assert found["edge_agent_disk_write_bytes_per_second"] == 1000
    assert found["edge_agent_throttled"] == 0
    assert found['edge_agent_camera_frames_per_second{camera="cam0"}'] == 29.97
    assert found['edge_agent_camera_dropped_frames_total{camera="cam0"}'] == 3
    assert found['edge_agent_state{state="recording"}'] == 1
    assert found['edge_agent_state{state="idle"}'] == 0
    assert found['edge_agent_camera_state{camera="cam1",state="fatal"}'] == 1
    assert found['edge_agent_camera_recording{camera="cam0"}'] == 1
    assert found['edge_agent_camera_verified_timestamp_seconds{camera="cam0"}'] == int(AT.timestamp())
    assert found['edge_agent_problem{code="disk_low"}'] == 1


def test_what_is_not_known_has_no_sample() -> None:
    found = samples(exposition("van7", "0.1.0", STATUS, TELEMETRY))
    assert "edge_agent_temperature_celsius" not in found
    assert 'edge_agent_camera_verified_timestamp_seconds{camera="cam1"}' not in found
    assert list(samples(exposition("van7", "0.1.0", None, None))) == [
        'edge_agent_build_info{device="van7",version="0.1.0"}'
    ]


def test_a_label_may_hold_anything() -> None:
    text = exposition('a"b\\c\nd', "0.1.0", None, None)
    assert 'device="a\\"b\\\\c\\nd"' in text
    assert len(samples(text)) == 1


async def test_the_page_is_served_in_prometheus_text_format(tmp_path: Path) -> None:
    async with serving(tmp_path) as site:
        response = await site.fetch("/metrics")
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert samples(response.body.decode())["edge_agent_problems"] == 1
