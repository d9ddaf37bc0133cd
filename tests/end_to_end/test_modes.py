"""Every mode does what its name says, with segments of the usual length."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from tests.end_to_end.conftest import agents
from tests.end_to_end.footage import assert_gapless, metadata, probe
from tests.fakes.agent import Document, RunningAgent

pytestmark = pytest.mark.slow

SIZES = {"640": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    with agents(tmp_path_factory.mktemp("modes")) as make:
        yield make(recording__segment_s=60).start()


def _stored(agent: RunningAgent, camera: str, mode: str) -> list[Path]:
    return [path for path in agent.stored(camera) if metadata(path).mode == mode]


def test_quick_records_a_sample_and_compares_the_cameras(idle: RunningAgent) -> None:
    idle.do("start", "quick")
    stopped = idle.wait_for_event("recording_stopped", lambda event: event["mode"] == "quick")
    assert stopped["reason"] == "complete"
    announced = idle.wait_for_event("snapshot_taken", lambda event: event.get("cameras") is not None)
    idle.wait_for_state("idle")
    for camera in ("cam0", "cam1"):
        stored = _stored(idle, camera, "quick")
        assert len(stored) <= 2  # two where the sample lies over a full minute
        assert 8 < sum(probe(path).duration_s for path in stored) < 14
    assert announced["cameras"] == ["cam0", "cam1"]
    width, height = _picture_size((idle.root / announced["path"]).read_bytes())
    assert width > 2 * height


@pytest.mark.parametrize("mode", [f"{who}-{size}" for size in SIZES for who in ("cam0", "cam1", "dual")])
def test_a_recording_mode_records_its_cameras_at_its_size(idle: RunningAgent, mode: str) -> None:
    who, size = mode.split("-")
    cameras = {"cam0", "cam1"} if who == "dual" else {who}
    idle.do("start", mode)
    status = idle.status
    assert (status["state"], status["mode"], status["selected_mode"]) == ("recording", mode, "dual-640")
    for camera, told in status["cameras"].items():
        wanted = ("running", True, *SIZES[size]) if camera in cameras else ("stopped", False, None, None)
        assert (told["state"], told["recording"], told["width"], told["height"]) == wanted
    idle.do("stop")
    for camera in ("cam0", "cam1"):
        stored = _stored(idle, camera, mode)
        assert bool(stored) == (camera in cameras)
        for path in stored:
            assert path.parent == idle.root / f"{SIZES[size][0]}x{SIZES[size][1]}" / camera
            told = probe(path)
            assert (told.width, told.height) == SIZES[size]
            assert told.frames > 0


def test_stream_shows_live_pictures_and_stores_nothing(idle: RunningAgent) -> None:
    before = [idle.stored(camera) for camera in ("cam0", "cam1")]
    idle.do("start", "stream")
    assert idle.status["state"] == "streaming"
    assert {(told["state"], told["recording"]) for told in idle.status["cameras"].values()} == {("running", False)}
    page = idle.heard("info")[-1].document["http"]["url"]
    for camera in ("cam0", "cam1"):
        with urllib.request.urlopen(f"{page}snapshot/{camera}.jpg", timeout=20) as answer:  # noqa: S310 - our own address
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert _picture_size(answer.read()) == (640, 480)
    idle.do("stop")
    idle.wait_for(lambda status: {one["state"] for one in status["cameras"].values()} == {"stopped"}, "cameras let go")
    assert idle.status["state"] == "idle"
    assert [idle.stored(camera) for camera in ("cam0", "cam1")] == before


def test_demo_records_all_three_sizes_and_ends(idle: RunningAgent) -> None:
    idle.do("start", "demo")
    idle.wait_for_event("recording_stopped", lambda event: event["mode"] == "demo")
    idle.wait_for_state("idle")
    for camera in ("cam0", "cam1"):
        lengths: dict[tuple[int, int], float] = {}
        for path in _stored(idle, camera, "demo"):
            told = probe(path)
            size = (told.width, told.height)
            lengths[size] = lengths.get(size, 0.0) + told.duration_s
        assert lengths.keys() == set(SIZES.values())
        assert all(3 < length < 9 for length in lengths.values()), lengths
        assert_gapless(idle, camera)


def test_modes_made_of_cameras_and_resolution_record_just_that(idle: RunningAgent) -> None:
    result = idle.do("start", {"cameras": ["cam1"], "resolution": "720p", "label": "just one", "duration": "1h"})
    assert result["message"].startswith("recording cam1-720p")
    status: Document = idle.status
    assert (status["mode"], status["label"], status["duration_s"]) == ("cam1-720p", "just one", 3600)
    idle.do("stop")
    assert "just one" in {metadata(path).label for path in idle.stored("cam1")}


def _picture_size(jpeg: bytes) -> tuple[int, int]:
    (picture,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))
    return picture.width, picture.height
