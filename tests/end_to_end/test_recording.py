"""The main job: a command starts recorders, segments arrive in the archive, a stop finishes the files."""

from __future__ import annotations

import pytest

from tests.end_to_end.footage import assert_gapless, metadata, probe
from tests.fakes.agent import RunningAgent, instant

pytestmark = pytest.mark.slow


def _see_that_a_loss_is_noticed(agent: RunningAgent) -> None:
    agent.stored("cam0")[2].unlink()
    with pytest.raises(AssertionError, match="the first wrong ones"):
        assert_gapless(agent, "cam0")
    copied = agent.stored("cam1")[2]
    copied.with_name(copied.name.replace(".mp4", "-1.mp4")).write_bytes(copied.read_bytes())
    with pytest.raises(AssertionError, match="the first wrong ones"):
        assert_gapless(agent, "cam1")


def test_rotation_loses_no_frame_of_either_camera(agent: RunningAgent) -> None:
    result = agent.command("start", "dual-640")
    assert (result["status"], result["code"]) == ("succeeded", "ok")
    status = agent.wait_for_state("recording")
    assert status["cameras"]["cam0"]["state"] == status["cameras"]["cam1"]["state"] == "running"
    for camera in ("cam0", "cam1"):
        agent.wait_for_segments(camera, 5)
    agent.do("stop")
    for camera in ("cam0", "cam1"):
        (frames,) = assert_gapless(agent, camera)
        stored = agent.stored(camera)
        assert len(stored) >= 6
        told = [probe(path) for path in stored]
        assert {(one.width, one.height, one.codec) for one in told} == {(640, 480, "h264")}
        assert sum(one.frames for one in told) == frames
        assert all(25 < one.fps < 32 for one in told[:-1])
        assert all(1.5 < one.duration_s < 3.5 for one in told[1:-1])
        starts = [metadata(path).started_at for path in stored]
        ends = [start.timestamp() + one.duration_s for start, one in zip(starts, told, strict=True)]
        assert all(abs(end - start.timestamp()) < 0.5 for end, start in zip(ends, starts[1:], strict=False))
    assert list((agent.root / "spool").glob("2*")) == []
    _see_that_a_loss_is_noticed(agent)
    assert instant(status["started_at"]) <= instant(status["at"])
