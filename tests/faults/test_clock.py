"""The wall clock steps while cameras record: nothing is deleted or overwritten, order and durations stay right."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless, metadata
from tests.fakes.agent import RunningAgent, instant
from tests.faults.machine import assert_all_plays, await_footage, get

pytestmark = pytest.mark.slow

OTHER_CLOCK = Path(__file__).parents[1] / "fakes" / "other_clock"
NINE_YEARS_S = 9 * 365.25 * 86400
HOUR_S = 3600.0


class WallClock:
    """The wall clock of a device and of its cameras."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset_s = 0.0
        self._started_s = 0.0

    def put(self, offset_s: float, *, synchronized: bool = True) -> None:
        """Be off by so much, from the start."""
        self.offset_s = self._started_s = offset_s
        self._write(synchronized=synchronized)

    def step(self, agent: RunningAgent, step_s: float) -> None:
        """Jump while everything runs. The cameras stamp frames by this clock."""
        self.offset_s += step_s
        agent.inject({"*": {"clock_offset_s": self.offset_s - self._started_s}})
        self._write(synchronized=True)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)

    def _write(self, *, synchronized: bool) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({"offset_s": self.offset_s, "synchronized": synchronized}))
        draft.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    clock = WallClock(tmp_path / "clock.json")
    clock.put(0.0)
    return clock


@pytest.fixture
def device(make_agent: MakeAgent, clock: WallClock) -> RunningAgent:
    """An agent whose wall clock is set by the test."""
    return make_agent(variables={"PYTHONPATH": str(OTHER_CLOCK), "FAKE_CLOCK": str(clock.path)})


def listed(agent: RunningAgent) -> list[str]:
    """The paths of the device's list of recordings, which is newest first, turned round."""
    recordings = json.loads(get(agent, "/api/recordings?limit=500"))["recordings"]
    return [one["path"] for one in reversed(recordings)]


def recorded(agent: RunningAgent, camera: str) -> list[Path]:
    """The stored files in the order in which they were recorded, by what they say of themselves."""
    told = [(metadata(path), path) for path in agent.stored(camera)]
    return [path for said, path in sorted(told, key=lambda one: (one[0].mono_s, one[0].index))]


def assert_true_to_time(agent: RunningAgent, camera: str) -> None:
    """Every file's duration fits to the next one's start, on the clock that does not step."""
    told = [metadata(path) for path in recorded(agent, camera)]
    assert [(said.sequence, said.index) for said in told] == sorted((said.sequence, said.index) for said in told)
    for before, after in pairwise(told):
        lag_s = after.mono_s - before.mono_s - before.duration_s
        allowed_s = 0.5 if before.run_id == after.run_id else 15.0
        assert -0.5 < lag_s < allowed_s, (before, after)


def test_a_step_back_overwrites_nothing_and_the_oldest_still_goes_first(device: RunningAgent, clock: WallClock) -> None:
    device.set(recording__max_bytes=1_000_000)
    device.start()
    device.do("start", {"mode": "cam0-640", "duration": "30m"})
    await_footage(device, 2)
    before = device.status
    clock.step(device, -HOUR_S)
    event = device.wait_for_event("clock_stepped")
    assert -HOUR_S - 2 < event["step_s"] < -HOUR_S + 2
    assert device.wait_for_event("camera_fault")["code"] == "clock_step"
    device.wait_for_event("camera_recovered")
    after = device.wait_for_state("recording")
    assert (after["started_at"], after["ends_at"]) == (before["started_at"], before["ends_at"])
    assert after["cameras"]["cam0"]["restarts"] == 1

    deleted = device.wait_for_event("segment_deleted", times=4)
    assert deleted["reason"] == "max_bytes"
    device.do("stop")
    device.wait_for_event("recording_stopped")
    stored = [event["path"] for event in device.events("segment_stored")]
    gone = [event["path"] for event in device.events("segment_deleted")]
    assert len(set(stored)) == len(stored)
    assert gone == stored[: len(gone)]
    assert stored != sorted(stored), "the names went back in time"
    assert [str(path.relative_to(device.root)) for path in recorded(device, "cam0")] == stored[len(gone) :]
    assert listed(device) == stored[len(gone) :]
    assert_true_to_time(device, "cam0")


def test_a_device_without_a_clock_records_and_keeps_all_when_the_time_comes(
    device: RunningAgent, clock: WallClock
) -> None:
    clock.put(-NINE_YEARS_S, synchronized=False)
    device.set(recording__max_age=60, telemetry__interval_s=1)
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 2)
    assert device.heard("telemetry")[-1].document["clock_synchronized"] is False
    early = {path.name for path in device.stored("cam0")}
    recorders = device.recorders()
    clock.step(device, NINE_YEARS_S)
    event = device.wait_for_event("clock_stepped")
    assert abs(event["step_s"] - NINE_YEARS_S) < 2
    stored = len(device.events("segment_stored"))
    device.wait_for_event("segment_stored", times=stored + 4)
    assert device.recorders() == recorders
    device.listener.wait(lambda _: device.heard("telemetry")[-1].document["clock_synchronized"] is True)
    device.do("stop")

    device.do("start", {"mode": "cam0-640"})
    device.do("stop")
    assert device.events("segment_deleted") == []
    assert early <= {path.name for path in device.stored("cam0")}
    for camera in ("cam0", "cam1"):
        assert_gapless(device, camera)
        assert_true_to_time(device, camera)
        assert all(0 < metadata(path).duration_s < 10 for path in device.stored(camera))
    last = metadata(recorded(device, "cam0")[-1])
    assert abs(last.started_at - clock.now()) < timedelta(minutes=2)
    assert (metadata(recorded(device, "cam0")[0]).clock_synchronized, last.clock_synchronized) == (False, True)
    order = [path for path in listed(device) if "/cam0/" in path]
    assert order == [str(path.relative_to(device.root)) for path in recorded(device, "cam0")]


def test_a_change_to_summer_time_while_recording_is_not_noticed(make_agent: MakeAgent) -> None:
    change = datetime.now(UTC) + timedelta(seconds=8)
    # A time zone whose summer begins just then: POSIX names the second of the day.
    days = change.timetuple().tm_yday - 1
    device = make_agent(variables={"TZ": f"WIN0SUM,{days}/{change:%H:%M:%S},{(days + 180) % 365}/0"})
    device.start()
    device.do("start", "cam0-640")
    later = device.wait_for_event("segment_stored", lambda one: instant(one["started_at"]) > change)
    assert abs(instant(later["at"]) - datetime.now(UTC)) < timedelta(minutes=5)
    device.do("stop")
    assert device.events("clock_stepped") == []
    assert_true_to_time(device, "cam0")
    assert_gapless(device, "cam0")
    for path in device.stored("cam0"):
        assert f"{metadata(path).started_at:%Y%m%dT%H%M%SZ}" in path.name
    assert assert_all_plays(device.root) >= 2
