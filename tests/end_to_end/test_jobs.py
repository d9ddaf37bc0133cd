"""Snapshots, locks and clips of a device that is idle, shown or recording."""

from __future__ import annotations

from datetime import datetime, timedelta

import av
import pytest

from tests.end_to_end.footage import frame_numbers, metadata, probe
from tests.fakes.agent import RunningAgent, eventually, instant

pytestmark = pytest.mark.slow

CAMERAS = ("cam0", "cam1")


def _picture_size(jpeg: bytes) -> tuple[int, int]:
    (picture,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))
    return picture.width, picture.height


def _verified_until(agent: RunningAgent, camera: str) -> datetime:
    return instant(agent.do("ping")["data"]["status"]["cameras"][camera]["verified_until"])


@pytest.mark.parametrize("doing", ["idle", "streaming", "recording"])
def test_a_snapshot_is_published_stored_and_named(idle: RunningAgent, doing: str) -> None:
    if doing != "idle":
        idle.do("start", "stream" if doing == "streaming" else "dual-640")
    before = {camera: len(idle.heard(f"{camera}/snapshot")) for camera in CAMERAS}
    told = idle.do("snapshot")["data"]["snapshots"]
    assert told.keys() == set(CAMERAS)
    for camera in CAMERAS:
        stored = (idle.root / told[camera]["path"]).read_bytes()
        assert len(stored) == told[camera]["bytes"]
        assert _picture_size(stored) == (640, 480)
        eventually(lambda camera=camera: len(idle.heard(f"{camera}/snapshot")) > before[camera], "published")  # type: ignore[misc]
        assert idle.heard(f"{camera}/snapshot")[-1].payload == stored
    idle.wait_for_event("snapshot_taken", lambda event: event["path"] == told["cam1"]["path"])
    if doing != "idle":
        assert idle.status["state"] == doing


def test_one_camera_is_asked_by_name(idle: RunningAgent) -> None:
    assert idle.do("snapshot", "cam1")["data"]["snapshots"].keys() == {"cam1"}


def test_a_lock_protects_what_was_recorded_and_what_is_being_recorded(idle: RunningAgent) -> None:
    idle.do("start", "cam0-640")
    idle.wait_for_event("segment_stored", lambda event: event["camera"] == "cam0")
    stored = set(idle.stored("cam0"))
    # A little into the time to come, or the segment that is open now may be stored before the lock reaches the disk.
    result = idle.do("lock", {"before": "1h", "after": "5s", "label": "bang"})
    assert result["data"]["locked"]
    assert result["data"]["pending"]
    idle.wait_for_event("segment_stored", lambda event: event["camera"] == "cam0" and event["locked"])
    idle.do("stop")
    locked = {path for path in idle.stored("cam0") if path.with_suffix(".lock").exists()}
    assert locked > stored, "the open segment is locked when it is stored"
    released = idle.do("unlock", "bang")["data"]["unlocked"]
    assert len(released) >= len(locked)
    assert not any(path.with_suffix(".lock").exists() for path in idle.stored("cam0"))


def test_a_lock_of_nothing_is_not_found(idle: RunningAgent) -> None:
    window = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    result = idle.command("lock", window)
    assert (result["status"], result["code"]) == ("failed", "not_found")


def test_a_clip_joins_segments_up_to_the_one_being_written(idle: RunningAgent) -> None:
    idle.do("start", "cam1-640")
    for _ in range(3):
        before = len(idle.stored("cam1"))
        eventually(lambda before=before: len(idle.stored("cam1")) > before, "one more segment")  # type: ignore[misc]
    run_id = metadata(idle.stored("cam1")[-1]).run_id
    segments = [path for path in idle.stored("cam1") if metadata(path).run_id == run_id]
    start = metadata(segments[0]).started_at
    newest = metadata(segments[-1])
    end = newest.started_at + timedelta(seconds=newest.duration_s)
    eventually(lambda: _verified_until(idle, "cam1") > end, "footage beyond the last stored segment")
    window = {"camera": "cam1", "from": start.isoformat(), "to": (end + timedelta(minutes=1)).isoformat()}
    told = idle.do("clip", window)["data"]
    assert told["unreadable"] == 0
    idle.wait_for_event("clip_ready", lambda event: event["path"] == told["path"])
    clip = idle.root / told["path"]
    numbers = frame_numbers(clip)
    assert numbers == list(range(1, len(numbers) + 1)), "every frame from the first on, none twice"
    in_segments = sum(probe(path).frames for path in segments)
    assert len(numbers) > in_segments, "the segment being written is in it"
    assert (probe(clip).width, probe(clip).height) == (640, 480)
    idle.do("stop")


def test_a_clip_tells_of_a_file_that_it_does_without(idle: RunningAgent) -> None:
    idle.do("start", "cam0-640")
    before = len(idle.stored("cam0"))
    eventually(lambda: len(idle.stored("cam0")) > before + 1, "two more segments")
    idle.do("stop")
    whole, damaged = idle.stored("cam0")[-2:]
    start = metadata(whole).started_at
    end = metadata(damaged).started_at + timedelta(seconds=metadata(damaged).duration_s)
    damaged.write_bytes(b"damaged")
    result = idle.do("clip", {"camera": "cam0", "from": start.isoformat(), "to": end.isoformat()})
    assert result["data"]["unreadable"] == 1
    assert result["message"].endswith(", without 1 file that cannot be read")
    assert frame_numbers(idle.root / result["data"]["path"]) == frame_numbers(whole)


def test_a_clip_of_a_time_without_footage_is_not_found(idle: RunningAgent) -> None:
    window = {"camera": "cam0", "from": "2020-01-01T00:00:00Z", "to": "2020-01-01T00:01:00Z"}
    result = idle.command("clip", window)
    assert (result["status"], result["code"]) == ("failed", "not_found")
