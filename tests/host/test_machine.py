from __future__ import annotations

from pathlib import Path

from edge_agent.host.machine import machine_model, machine_serial


def test_a_board_says_its_model_and_its_serial_number(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "serial-number").write_bytes(b"10000000abcdef01\0")
    assert machine_model(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine_serial(tmp_path) == "10000000abcdef01"


def test_a_machine_without_a_device_tree_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"\0")
    assert machine_model(tmp_path) is None
    assert machine_serial(tmp_path) is None
