"""Camera programs that outlive their agent in unlucky moments: found again, or ended, so that no camera stays taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import RunningAgent, eventually
from tests.faults.machine import await_footage, page, picture

pytestmark = pytest.mark.slow


def _programs(agent: RunningAgent) -> dict[int, str]:
    """The living camera programs with their command lines, by pid."""
    found = {}
    for pid in agent.processes():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "edge_agent.simulated.rpicam_vid" in words:
                found[pid] = " ".join(words)
    return found


@contextmanager
def watching(agent: RunningAgent, camera: str) -> Iterator[None]:
    """Somebody watches a camera's live view meanwhile."""
    connection = page(agent)
    connection.request("GET", f"/stream/{camera}")
    answer = connection.getresponse()

    def read() -> None:
        with suppress(OSError, ValueError, AttributeError):
            while answer.read(4096):
                pass

    reader = threading.Thread(target=read, name="viewer")
    reader.start()
    try:
        yield
    finally:
        if connection.sock is not None:
            connection.sock.shutdown(2)
        reader.join(30)
        connection.close()


def test_a_recorder_whose_agent_died_before_noting_it_is_adopted(make_agent: MakeAgent) -> None:
    device = make_agent()
    device.start()
    device.do("start", {"mode": "dual-640", "label": "trip"})
    await_footage(device, 1)
    device.kill()
    pids = device.recorders()
    for path in device.found("spool/2*/run.json"):
        # What lies there between the start of the program and the first note of it.
        record = json.loads(path.read_text()) | {"process": None, "argv": [], "first_frame": None}
        path.write_text(json.dumps(record))

    device.start()
    assert device.wait_for_event("agent_started")["adopted"] == 2
    status = device.wait_for_state("recording")
    assert status["label"] == "trip"
    assert device.recorders() == pids
    assert set(_programs(device)) == set(pids.values())
    assert picture(device, "cam0").startswith(b"\xff\xd8")
    await_footage(device, 3)
    device.do("stop")
    assert not set(pids.values()) & set(_programs(device))
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(device, camera)) == 1


def test_a_recorder_whose_record_is_lost_is_ended_and_its_footage_kept(make_agent: MakeAgent) -> None:
    device = make_agent()
    device.start()
    device.do("start", "cam0-640")
    await_footage(device, 1)
    device.kill()
    (lost,) = device.found("spool/2*")
    (stray,) = _programs(device)
    lost.rename(lost.with_name("a name that says nothing"))

    device.start()
    eventually(lambda: stray not in _programs(device), "the end of the stray recorder")
    device.wait_for_state("recording")
    assert set(_programs(device)) == {device.recorders()["cam0"]}
    device.do("stop")
    assert list((device.root / "spool" / "a name that says nothing").glob("*.mp4")) != []


def test_a_live_program_without_frames_that_outlived_its_agent_is_ended(make_agent: MakeAgent) -> None:
    device = make_agent()
    device.start()
    with watching(device, "cam0"):
        eventually(lambda: _programs(device), "a live program")
        device.inject({"0": {"fault": "timeout"}})
        (stray,) = _programs(device)
        noted = eventually(lambda: _noted(device, "cam0"), "a note of it")
        assert noted == stray
        eventually(lambda: "Device timeout" in (device.state_dir / "live-cam0.log").read_text(), "a device timeout")
        device.kill()
    assert set(_programs(device)) == {stray}

    device.start()
    assert stray not in _programs(device)
    device.inject({})
    device.do("start", "cam0-640")
    assert device.status["cameras"]["cam0"]["restarts"] == 0
    device.do("stop")


def _noted(agent: RunningAgent, camera: str) -> int | None:
    """The pid that stands in the note of a camera's live program."""
    with suppress(FileNotFoundError):
        noted: int = json.loads((agent.state_dir / f"live-{camera}.json").read_text())["pid"]
        return noted
    return None
