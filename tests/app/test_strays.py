from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.app.strays import recorder_strays
from edge_agent.rpicam.process import read_boot_id
from tests.fakes.agent import eventually

PROGRAM = "import sys; print('here', flush=True); sys.stdin.read()"


@contextmanager
def recorder(spool: Path, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a session and whose command line is that of a recorder below this spool."""
    command = [*before, sys.executable, "-c", PROGRAM, "-o", f"tee[f=segment]{spool}/one/%06d.mp4"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=not before,
    )
    with process:
        yield process


def pids(spool: Path) -> set[int]:
    found = recorder_strays(spool, read_boot_id(), [])
    for process in found:
        process.release()
    return {process.identity.pid for process in found}


def test_a_recorder_below_this_spool_is_found_and_none_below_another(tmp_path: Path) -> None:
    with recorder(tmp_path / "spool") as mine, recorder(tmp_path / "other" / "spool"):
        eventually(lambda: pids(tmp_path / "spool") == {mine.pid}, "the stray")


def test_a_recorder_in_a_container_is_left_alone_though_its_path_is_the_same(tmp_path: Path) -> None:
    """Where the kernel gives no namespaces to this user, there is none to leave alone."""
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "setsid")
    with recorder(tmp_path / "spool", *unshare) as container, recorder(tmp_path / "spool") as mine:
        assert container.stdout is not None
        assert container.stdout.readline() in (b"here\n", b"")
        eventually(lambda: pids(tmp_path / "spool"), "the stray")
        assert pids(tmp_path / "spool") == {mine.pid}
