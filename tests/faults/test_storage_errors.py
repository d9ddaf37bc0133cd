"""Whatever a disk answers, the storage room tells it as its own kind of error: any other would end the agent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.failing_storage import FAULTS
from tests.fakes.mounts import Mounts
from tests.faults.machine import ROOT, FaultyDisk

pytestmark = pytest.mark.slow


def test_a_failing_disk_is_met_with_storage_errors_alone(mounts: Mounts, folder: Path) -> None:
    with FaultyDisk(mounts, folder) as disk:
        program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n"
        program += "from tests.fakes.failing_storage import main; main(*map(Path, sys.argv[1:]))"
        done = subprocess.run(
            [*mounts.entrance, sys.executable, "-c", program, folder, folder.with_name("state"), disk.faults],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    *lines, last = done.stdout.splitlines() or [done.stderr]
    assert done.returncode == 0, done.stderr
    told = [line.split(": ", 2) for line in lines]
    assert {fault for fault, _, _ in told} == FAULTS.keys()
    assert [line for line, (_, _, answer) in zip(lines, told, strict=True) if answer not in _EXPECTED] == []
    failed = {question for _, question, answer in told if answer == "StorageError"}
    assert failed >= {"create", "look", "sync", "save", "commit", "delete", "lock", "snapshot", "open", "reconcile"}
    words = last.split()
    assert int(words[3]) >= 2 * len(FAULTS), last
    assert int(words[5]) == len(FAULTS), last


_EXPECTED = {"answered", "StorageError"}
