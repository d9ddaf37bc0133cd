from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edge_agent.app.strays import LiveNote, live_strays, recorder_strays
from edge_agent.core.model import ProcessIdentity
from edge_agent.rpicam.process import read_boot_id, start_ticks

BOOT = read_boot_id()


@pytest.fixture
def note(tmp_path: Path) -> LiveNote:
    return LiveNote(tmp_path, "cam0")


def test_a_noted_program_that_lives_is_found(note: LiveNote, tmp_path: Path) -> None:
    identity = ProcessIdentity(os.getpid(), start_ticks(os.getpid()), BOOT)
    note.write(identity)
    (found,) = live_strays(tmp_path, ("cam0", "cam1"), BOOT)
    found.release()
    assert found.identity == identity
    note.clear()
    assert live_strays(tmp_path, ("cam0", "cam1"), BOOT) == []


@pytest.mark.parametrize(("later_ticks", "boot"), [(1, BOOT), (0, "another boot")])
def test_whoever_has_the_pid_now_is_left_alone(note: LiveNote, tmp_path: Path, later_ticks: int, boot: str) -> None:
    note.write(ProcessIdentity(os.getpid(), start_ticks(os.getpid()) + later_ticks, boot))
    assert live_strays(tmp_path, ("cam0",), BOOT) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff", json.dumps({"pid": 1}).encode()])
def test_a_damaged_note_names_nobody(note: LiveNote, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "live-cam0.json").write_bytes(content)
    assert note.read() is None


def test_a_note_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    note = LiveNote(tmp_path / "missing", "cam0")
    note.write(ProcessIdentity(1, 1, BOOT))
    note.clear()
    assert note.read() is None


def test_nobody_else_records_to_a_spool_of_ours(tmp_path: Path) -> None:
    assert recorder_strays(tmp_path, BOOT, ()) == []
