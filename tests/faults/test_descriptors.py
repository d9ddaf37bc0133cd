"""An agent that has no descriptor left: no file, no child, no connection more. It says so, and recorders go on."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import eventually
from tests.faults.machine import await_footage, await_no_problem, await_problem

pytestmark = pytest.mark.slow


def test_an_agent_without_descriptors_says_so_and_loses_nothing(make_agent: MakeAgent) -> None:
    device = make_agent()
    device.start()
    device.do("start", "dual-640")
    await_footage(device, 1)
    recorders, pid = device.recorders(), device.the_process().pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = [int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    assert "no descriptor" in await_problem(device, "agent_exhausted")
    for verb, payload in (("snapshot", "cam0"), ("clip", {"camera": "cam0", "from": 0, "to": 1}), ("lock", "10s")):
        answer = device.command(verb, payload)
        assert answer["status"] in ("failed", "succeeded"), answer
    assert device.do("ping")["data"]["status"]["state"] == "recording"
    eventually(lambda: len(device.found("spool/2*/*.mp4")) >= 14, "segments that wait to be stored")
    assert device.status["state"] == "recording"
    assert device.recorders() == recorders
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    await_no_problem(device, "agent_exhausted")
    device.do("snapshot")
    assert device.recorders() == recorders
    device.do("stop")
    assert (device.the_process().pid, device.the_process().poll()) == (pid, None)
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(device, camera)) == 1
    assert device.found("spool/2*") == []
    eventually(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) <= len(taken) + 8, "descriptors given back")
