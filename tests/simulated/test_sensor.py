from __future__ import annotations

import time

from edge_agent.simulated.sensor import FrameClock, Sensor


def test_frames_come_in_steps_of_33333_microseconds() -> None:
    sensor = Sensor(30)
    first = sensor.wait(1)
    following = [sensor.wait(1) for _ in range(3)]
    steps = [b - a for a, b in zip([first, *following], following, strict=False)]
    assert all(step % 33_333_000 == 0 and step > 0 for step in steps)


def test_at_half_the_rate_every_second_frame_is_missing() -> None:
    sensor = Sensor(100)
    first = sensor.wait(2)
    assert (sensor.wait(2) - first) % 20_000_000 == 0


def test_a_reader_who_sleeps_too_long_loses_frames_but_gets_no_burst() -> None:
    sensor = Sensor(10_000)
    first = sensor.wait(1)
    deadline = first + 20 * 100_000
    while time.monotonic_ns() < deadline:
        pass
    late = sensor.wait(1)
    assert sensor.dropped >= 19
    assert late - first >= 19 * 100_000


def test_the_wall_clock_stamps_frames_from_1_8_on_and_can_be_off() -> None:
    wall, sensor = FrameClock(wall=True), FrameClock(wall=False)
    taken_ns = time.monotonic_ns()
    assert sensor.stamp_us(taken_ns, 3600.0) == taken_ns // 1000
    assert abs(wall.stamp_us(taken_ns, 0.0) / 1e6 - time.time()) < 30
    assert abs(wall.stamp_us(taken_ns, 3600.0) - wall.stamp_us(taken_ns, 0.0) - 3_600_000_000) < 1_000_000
