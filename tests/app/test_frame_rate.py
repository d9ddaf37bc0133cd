from __future__ import annotations

import pytest

from edge_agent.app.frame_rate import WINDOW_S, FrameRate


def _measured(fps: float, seconds: int, *, stretch_s: float = 0.0, gop: int = 30) -> float | None:
    """A camera that delivers whole groups of pictures, looked at once a second."""
    rate = FrameRate()
    for second in range(seconds):
        frames = int(second * fps) // gop * gop
        rate.take(second, frames, frames / fps + (stretch_s if second > seconds // 2 else 0.0))
    return rate.fps


def test_nothing_is_said_before_the_first_window_is_full() -> None:
    assert _measured(30, int(WINDOW_S)) is None
    assert _measured(30, int(WINDOW_S) + 1) == pytest.approx(30)


@pytest.mark.parametrize("fps", [30.0, 15.0, 7.5, 60.0])
def test_the_rate_is_right_whatever_the_length_of_a_fragment(fps: float) -> None:
    assert _measured(fps, 60) == pytest.approx(fps, rel=0.01)


@pytest.mark.parametrize("step_s", [10.0, 3600.0])
def test_a_stream_stretched_by_a_clock_step_is_measured_by_the_time_that_passed(step_s: float) -> None:
    assert _measured(30, 20, stretch_s=step_s) == pytest.approx(30, rel=0.15)


def test_a_change_shows_when_the_window_has_passed() -> None:
    rate, frames, media_s = FrameRate(), 0, 0.0
    for second in range(40):
        fps = 30 if second < 20 else 15
        frames, media_s = frames + fps, media_s + 1.0
        rate.take(second, frames, media_s)
    assert rate.fps == pytest.approx(15)


def test_no_frames_are_no_rate() -> None:
    rate = FrameRate()
    for second in range(30):
        assert rate.take(second, 0, 0.0) is None
