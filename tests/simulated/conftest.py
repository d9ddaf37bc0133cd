from __future__ import annotations

import os
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
    yield machine
    machine.end()
