"""Two agents that would record to one volume: the second one keeps off, says so, and begins when the first has gone."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.faults.machine import assert_live, await_footage, await_no_problem, await_problem

pytestmark = pytest.mark.slow


def test_a_volume_has_one_agent_at_a_time_and_its_recorders_no_other(make_agent: MakeAgent) -> None:
    first, second = make_agent(), make_agent("van8")
    second.root = first.root
    first.start()
    first.do("start", {"mode": "dual-640", "label": "mine"})
    await_footage(first, 1)
    recorders = first.recorders()

    second.start()
    assert "another edge-agent" in await_problem(second, "volume_in_use")
    assert second.wait_for_event("agent_started")["adopted"] == 0
    refused = second.command("start", "dual-640")
    assert (refused["status"], second.recorders()) == ("rejected", {})
    assert "another edge-agent" in refused["message"]
    assert second.command("lock")["status"] == "failed"
    assert_live(second)
    await_footage(first, 3)
    assert first.recorders() == recorders
    first.do("stop")
    stored = {event["path"] for event in first.events("segment_stored")}
    assert stored == {str(path.relative_to(first.root)) for path in first.found("*x*/*/*.mp4")}
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(first, camera)) == 1

    first.kill()
    await_no_problem(second, "volume_in_use")
    second.do("start", "cam0-640")
    second.do("stop")
    first.start()
    await_problem(first, "volume_in_use")
