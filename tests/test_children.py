from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest

from edge_agent.children import ChildFailed, run_child
from tests.fakes.agent import eventually

PATIENCE_S = 30.0


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is started instead of Python; write a shell script to it."""
    path = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)


async def test_what_a_child_writes_is_the_answer(program: Path) -> None:
    write(program, 'echo "$@"')
    told = await run_child("media.clip", ["a b", "--from", "1"], PATIENCE_S)
    assert told == b"-m edge_agent.media.clip a b --from 1\n"


async def test_a_child_reads_the_descriptors_that_it_is_given(program: Path, tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(b"held open")
    descriptor = os.open(tmp_path / "held", os.O_RDONLY)
    write(program, f"cat /proc/self/fd/{descriptor}")
    assert await run_child("media.clip", [], PATIENCE_S, [descriptor]) == b"held open"
    os.close(descriptor)


@pytest.mark.parametrize(
    ("script", "told"), [("echo first >&2; echo last >&2; exit 3", "clip: last"), ("exit 3", "clip: exit code 3")]
)
async def test_the_last_line_on_stderr_is_the_reason(program: Path, script: str, told: str) -> None:
    write(program, script)
    with pytest.raises(ChildFailed) as failed:
        await run_child("media.clip", [], PATIENCE_S)
    assert (str(failed.value), failed.value.returncode) == (told, 3)


async def test_a_child_that_cannot_be_started_is_the_machines_trouble(program: Path) -> None:
    with pytest.raises(ChildFailed, match=r"clip cannot be started now \(No such file or directory\)") as failed:
        await run_child("media.clip", [], PATIENCE_S)
    assert failed.value.returncode is None


async def test_a_child_that_takes_too_long_is_ended(program: Path, tmp_path: Path) -> None:
    write(program, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(ChildFailed, match="clip took longer than 2 s") as failed:
        await run_child("media.clip", [], 2.0)
    assert failed.value.returncode is None
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_a_child_ends_with_the_task_that_waits_for_it(program: Path, tmp_path: Path) -> None:
    write(program, f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 60")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_child("media.clip", [], PATIENCE_S), name="child")
        await asyncio.to_thread(eventually, (tmp_path / "pid").exists, "the child runs")
        task.cancel()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
