from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.simulated.faults import Faults, Kind
from edge_agent.simulated.settings import SettingsError


def test_the_control_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    faults = Faults(control, 0)
    assert faults.find(Kind.FREEZE) is None
    control.write_text(json.dumps({"0": {"fault": "freeze"}}))
    assert faults.find(Kind.FREEZE)
    control.write_text(json.dumps({}))
    assert faults.find(Kind.FREEZE) is None
    control.write_text(json.dumps({"0": {"fault": "deaf"}}))
    assert faults.find(Kind.DEAF)
    control.unlink()
    assert faults.find(Kind.DEAF) is None


def test_half_a_file_leaves_the_faults_as_they_were(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps({"0": {"fault": "freeze"}}))
    faults = Faults(control, 0)
    assert faults.find(Kind.FREEZE)
    control.write_text('{"0": {"fa')
    assert faults.find(Kind.FREEZE)


def test_a_fault_is_for_its_camera_or_for_all(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps({"1": [{"fault": "deaf"}, {"fault": "half_rate"}], "*": {"fault": "garbage"}}))
    first, second = Faults(control, 0), Faults(control, 1)
    assert not first.find(Kind.DEAF)
    assert first.find(Kind.GARBAGE)
    assert all(second.find(kind) for kind in (Kind.DEAF, Kind.HALF_RATE, Kind.GARBAGE))


def test_a_fault_comes_due(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps({"0": [{"fault": "die", "after_s": 2, "exit": 3}, {"clock_offset_s": 60}]}))
    faults = Faults(control, 0)
    assert faults.find(Kind.DIE, 1.9) is None
    fault = faults.find(Kind.DIE, 2.0)
    assert fault is not None
    assert fault.exit == 3
    assert faults.clock_offset_s(0.0) == 60


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"0": {"fault": "explode"}}, "unknown fault 'explode'"),
        ({"0": {"fualt": "die"}}, "unknown key 'fualt'"),
        ({"0": "die"}, "'die' is not an object"),
        ([], "not an object of cameras"),
    ],
)
def test_a_misspelt_fault_is_not_taken_for_none(tmp_path: Path, content: object, message: str) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=message):
        Faults(control, 0).find(Kind.DIE)
