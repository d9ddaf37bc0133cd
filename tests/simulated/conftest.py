from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated.camera_program import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with two simulated cameras; whatever still runs on it ends with the test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")}
    inherited.pop("LIBCAMERA_LOG_LEVELS", None)
    directory = tmp_path / "machine"
    directory.mkdir()
    machine = Machine(directory, inherited)
    # Tests that run under nohup would hand its ignored SIGHUP on.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield machine
    machine.end()
    signal.signal(signal.SIGHUP, before)
