"""The soak in short, and its judgement: what it must find."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import judge
from tests.soak.__main__ import soak
from tests.soak.judge import Disturbance, Rest

SHORT_S = 75.0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_short_soak_ends_well(tmp_path: Path) -> None:
    report = soak(tmp_path, SHORT_S, seed=1)
    assert report["violations"] == [], report
    assert report["commands"].keys() >= {"start", "stop", "ping"}
    assert report["lives_of_the_agent"] > 1
    assert {rest["life"] for rest in report["at_rest"]} != set()


def status(at: int, state: str, mode: str | None) -> dict[str, object]:
    return {"at": f"2026-01-01T00:00:{at:02}Z", "state": state, "mode": mode}


def test_a_camera_is_wanted_from_the_first_status_that_says_so_to_the_next_that_does_not() -> None:
    told = [
        status(1, "idle", None),
        status(5, "recording", "dual-640"),
        status(9, "recording", "cam1-640"),
        status(20, "recording", "dual-640"),
        status(30, "idle", None),
    ]
    lengths = {
        camera: [end_s - start_s for start_s, end_s in judge.wanted(told, camera)] for camera in ("cam0", "cam1")
    }
    assert lengths == {"cam0": [4, 10], "cam1": [25]}


@pytest.mark.parametrize(
    ("covered", "missing"),
    [
        ([(0.0, 100.0)], []),
        ([], [(10.0, 50.0)]),
        ([(20.0, 30.0), (0.0, 15.0)], [(15.0, 20.0), (30.0, 50.0)]),
        ([(0.0, 29.0), (30.0, 60.0)], []),
        ([(0.0, 40.0), (45.0, 46.0)], [(40.0, 45.0), (46.0, 50.0)]),
        ([(60.0, 70.0)], [(10.0, 50.0)]),
    ],
)
def test_what_is_not_covered_is_missing(covered: list[tuple[float, float]], missing: list[tuple[float, float]]) -> None:
    assert judge.uncovered((10.0, 50.0), covered) == missing


@pytest.mark.parametrize(
    ("camera", "at_s", "what", "explained"),
    [
        ("cam0", 100.0, "recorder killed", True),
        (None, 100.0, "agent stopped", True),
        ("cam1", 100.0, "recorder killed", False),
        ("cam0", 120.0, "recorder killed", False),
        ("cam0", 85.0, "recorder killed", False),
        (None, 100.0, "command mode", False),
        ("cam0", 60.0, "recorder frozen", True),
    ],
)
def test_a_hole_needs_a_reason_that_reaches_all_of_it(
    camera: str | None, at_s: float, what: str, explained: bool
) -> None:
    assert (judge.explain((99.0, 110.0), "cam0", [Disturbance(at_s, camera, what)]) is not None) is explained


def test_what_grows_at_rest_is_found_by_life() -> None:
    flat = [Rest(1, 12, 50 << 20, 4)] * 7
    assert judge.flatness(flat) == []
    assert judge.flatness([*flat, *[Rest(2, 99, 90 << 20, 9)] * 3]) == []
    growing = [Rest(1, 12 + 2 * n, (50 + 4 * n) << 20, 4 + n) for n in range(9)]
    assert [line.split(" more ")[1].split(",")[0] for line in judge.flatness(growing)] == [
        "file descriptors",
        "threads",
        "bytes of memory",
    ]
