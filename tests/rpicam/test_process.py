from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from edge_agent.core.model import ProcessIdentity
from edge_agent.rpicam.process import (
    CameraProcess,
    Exit,
    Ladder,
    SpawnFailed,
    StopFailed,
    adopt,
    find_by_argument,
    read_boot_id,
    spawn,
    start_ticks,
    stderr_tail,
)

PROGRAM = Path(__file__).parents[1] / "fakes" / "camera_program_signals.py"
PATIENT = Ladder(sigint_s=30, sigterm_s=30, sigkill_s=30)
QUICK = Ladder(sigint_s=0.2, sigterm_s=0.2, sigkill_s=30)
WAIT_S = 30
BOOT = read_boot_id()


class Started:
    """A spawned program and the reading end of its stdout."""

    def __init__(self, process: CameraProcess, stdout: int, stderr_path: Path) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr_path = stderr_path

    async def line(self) -> str:
        """The next line of stdout; an empty string at its end."""
        loop = asyncio.get_running_loop()
        data = b""
        while not data.endswith(b"\n"):
            readable = asyncio.Event()
            loop.add_reader(self.stdout, readable.set)
            try:
                async with asyncio.timeout(WAIT_S):
                    await readable.wait()
            finally:
                loop.remove_reader(self.stdout)
            chunk = os.read(self.stdout, 1)
            if not chunk:
                break
            data += chunk
        return data.decode().rstrip("\n")


@asynccontextmanager
async def started(behaviour: str, tmp_path: Path) -> AsyncIterator[Started]:
    stdout, child_stdout = os.pipe()
    stderr_path = tmp_path / "stderr.txt"
    try:
        process = spawn(
            [sys.executable, str(PROGRAM), behaviour],
            env={"PATH": os.environ["PATH"], "TZ": "UTC0"},
            stdout=child_stdout,
            stderr_path=stderr_path,
            boot_id=BOOT,
        )
    finally:
        os.close(child_stdout)
    program = Started(process, stdout, stderr_path)
    try:
        assert await program.line() == "ready"
        yield program
    finally:
        left = adopt(process.identity, BOOT)
        if left is not None:
            await left.stop(Ladder(0, 0, WAIT_S))
        process.release()
        os.close(stdout)


def is_reaped(pid: int) -> bool:
    try:
        start_ticks(pid)
    except ProcessLookupError:
        return True
    return False


async def test_an_obedient_program_ends_at_the_first_rung(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with started("obedient", tmp_path) as program:
        assert await program.process.stop(PATIENT) == Exit(0, signal.SIGINT)
        assert is_reaped(program.process.identity.pid)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_deaf_program_ends_at_the_second_rung_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started("deaf", tmp_path) as program:
        assert await program.process.stop(replace(PATIENT, sigint_s=0.2)) == Exit(-15, signal.SIGTERM)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    assert warned[0].startswith("camera program ignored SIGINT for 0.2 s, sending SIGTERM")


async def test_a_stubborn_program_is_killed_and_reaped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with started("stubborn", tmp_path) as program:
        assert await program.process.stop(QUICK) == Exit(-9, signal.SIGKILL)
        assert is_reaped(program.process.identity.pid)
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 2


async def test_a_rung_without_patience_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with started("obedient", tmp_path) as program:
        assert await program.process.stop(replace(PATIENT, sigint_s=0)) == Exit(-15, signal.SIGTERM)
    assert caplog.records == [record for record in caplog.records if record.levelno < logging.WARNING]


async def test_the_whole_group_of_a_program_is_stopped(tmp_path: Path) -> None:
    async with started("family", tmp_path) as program:
        assert await program.line() == "ready"
        assert (await program.process.stop(PATIENT)).returncode == -2
        assert await program.line() == ""


async def test_stopping_twice_gives_the_same_exit(tmp_path: Path) -> None:
    async with started("obedient", tmp_path) as program, asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(program.process.stop(PATIENT), name=f"stop {n}") for n in range(2)]
    assert both[0].result() == both[1].result() == Exit(0, signal.SIGINT)
    assert await program.process.stop(PATIENT) == Exit(0, signal.SIGINT)


async def test_a_cancelled_stop_can_be_taken_up_again(tmp_path: Path) -> None:
    async with started("deaf", tmp_path) as program:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await program.process.stop(PATIENT)
        assert program.process.exit is None
        assert await program.process.stop(QUICK) == Exit(-15, signal.SIGTERM)


async def test_a_cancelled_wait_leaves_the_program_and_other_waiters_alone(tmp_path: Path) -> None:
    async with started("obedient", tmp_path) as program, asyncio.TaskGroup() as tasks:
        other = tasks.create_task(program.process.wait(), name="wait")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await program.process.wait()
        await program.process.stop(PATIENT)
    assert other.result() == Exit(0, signal.SIGINT)


@pytest.mark.parametrize(
    ("behaviour", "returncode"), [("exit:0", 0), ("exit:255", 255), ("signal:6", -6), ("signal:11", -11)]
)
async def test_an_end_that_nobody_asked_for_is_told_with_its_code(
    behaviour: str, returncode: int, tmp_path: Path
) -> None:
    async with started(behaviour, tmp_path) as program, asyncio.timeout(WAIT_S):
        assert await program.process.wait() == Exit(returncode, None)
        assert is_reaped(program.process.identity.pid)


async def test_the_program_depends_on_nothing_of_the_agent(tmp_path: Path) -> None:
    kept_open = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(kept_open, True)
    try:
        async with started("about", tmp_path) as program:
            os.kill(program.process.identity.pid, signal.SIGUSR1)
            about = json.loads(await program.line())
            async with asyncio.timeout(WAIT_S):
                await program.process.wait()
    finally:
        os.close(kept_open)
    assert about["session"] is True
    assert about["stdin"] == "/dev/null"
    assert about["core"] == [0, 0]
    assert set(about["descriptors"]) <= {0, 1, 2, 3}
    assert about["environment"].get("TZ") == "UTC0"
    assert "HOME" not in about["environment"]


async def test_stderr_is_appended_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "stderr.txt").write_text("before\n", "utf-8")
    async with started("obedient", tmp_path) as program:
        await program.process.stop(PATIENT)
    assert stderr_tail(program.stderr_path) == ["before", "ready"]


async def test_a_program_may_be_spawned_in_a_thread(tmp_path: Path) -> None:
    process = await asyncio.to_thread(
        spawn, ["/bin/sleep", "600"], env={}, stdout=None, stderr_path=tmp_path / "err", boot_id=BOOT
    )
    assert await process.stop(PATIENT) == Exit(-2, signal.SIGINT)


async def test_output_that_nobody_wants_goes_nowhere(tmp_path: Path) -> None:
    process = spawn(
        ["sh", "-c", "echo $(readlink /proc/$$/fd/1) >&2"],
        env={"PATH": os.environ["PATH"]},
        stdout=None,
        stderr_path=tmp_path / "err",
        boot_id=BOOT,
    )
    async with asyncio.timeout(WAIT_S):
        await process.wait()
    assert stderr_tail(tmp_path / "err") == ["/dev/null"]


async def test_a_spawned_program_is_known_by_its_start_and_boot(tmp_path: Path) -> None:
    async with started("obedient", tmp_path) as program:
        identity = program.process.identity
        assert identity == ProcessIdentity(identity.pid, start_ticks(identity.pid), BOOT)
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert 0 <= uptime_s - identity.start_ticks / os.sysconf("SC_CLK_TCK") < 300
        assert not program.process.adopted


async def test_a_name_with_brackets_and_blanks_does_not_hide_the_start_tick(tmp_path: Path) -> None:
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to("/bin/sleep")
    process = spawn([str(program), "600"], env={}, stdout=None, stderr_path=tmp_path / "err", boot_id=BOOT)
    adopted = adopt(process.identity, BOOT)
    assert adopted is not None
    adopted.release()
    await process.stop(PATIENT)


# Another agent's program: the helper starts it and goes, as an agent does that was killed.
ORPHANAGE = """
import subprocess, sys
null = subprocess.DEVNULL
child = subprocess.Popen(sys.argv[1:], stdin=null, stdout=subprocess.PIPE, stderr=null, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
child.returncode = 0
"""


@contextmanager
def orphan(behaviour: str) -> Iterator[ProcessIdentity]:
    argv = [sys.executable, "-c", ORPHANAGE, sys.executable, str(PROGRAM), behaviour]
    told = subprocess.run(argv, capture_output=True, check=True, timeout=WAIT_S)
    pid = int(told.stdout)
    identity = ProcessIdentity(pid, start_ticks(pid), BOOT)
    pidfd = os.pidfd_open(pid)
    try:
        yield identity
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


async def test_an_adopted_program_is_stopped_without_knowing_its_code() -> None:
    with orphan("obedient") as identity:
        process = adopt(identity, BOOT)
        assert process is not None
        assert process.adopted
        assert process.identity == identity
        assert await process.stop(PATIENT) == Exit(None, signal.SIGINT)


async def test_the_end_of_an_adopted_program_is_seen() -> None:
    with orphan("deaf") as identity:
        process = adopt(identity, BOOT)
        assert process is not None
        os.kill(identity.pid, signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == Exit(None, None)


def test_nothing_but_the_very_process_is_adopted() -> None:
    with orphan("obedient") as identity:
        assert adopt(replace(identity, start_ticks=identity.start_ticks + 1), BOOT) is None
        assert adopt(identity, "another boot") is None
        assert adopt(replace(identity, boot_id="another boot"), BOOT) is None


def test_a_process_that_has_gone_is_not_adopted() -> None:
    child = subprocess.Popen([sys.executable, str(PROGRAM), "obedient"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    identity = ProcessIdentity(child.pid, start_ticks(child.pid), BOOT)
    child.send_signal(signal.SIGINT)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert adopt(identity, BOOT) is None, "a zombie"
    child.wait()
    child.stdout.close()
    assert adopt(identity, BOOT) is None


async def test_a_program_that_this_very_process_started_is_reaped_after_adoption(tmp_path: Path) -> None:
    async with started("obedient", tmp_path) as program:
        program.process.release()
        process = adopt(program.process.identity, BOOT)
        assert process is not None
        assert await process.stop(PATIENT) == Exit(0, signal.SIGINT)
        assert is_reaped(process.identity.pid)


async def test_a_released_program_goes_on(tmp_path: Path) -> None:
    async with started("obedient", tmp_path) as program:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await program.process.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            program.process.release()
            program.process.release()
        process = adopt(program.process.identity, BOOT)
        assert process is not None
        assert await process.stop(PATIENT) == Exit(0, signal.SIGINT)


@pytest.mark.parametrize(
    ("content", "mode", "errno_name"),
    [(None, 0, "ENOENT"), ("#!/bin/sh\n", 0o644, "EACCES"), ("rubbish", 0o755, "ENOEXEC")],
)
def test_a_program_that_cannot_start_says_why(content: str | None, mode: int, errno_name: str, tmp_path: Path) -> None:
    program = tmp_path / "rpicam-vid"
    if content is not None:
        program.write_text(content, "utf-8")
        program.chmod(mode)
    with pytest.raises(SpawnFailed, match=str(program)) as caught:
        spawn([str(program), "-n"], env={}, stdout=None, stderr_path=tmp_path / "err", boot_id=BOOT)
    assert errno.errorcode[caught.value.errno] == errno_name
    assert caught.value.argv == (str(program), "-n")


def test_a_missing_directory_for_stderr_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpawnFailed) as caught:
        spawn(["true"], env={}, stdout=None, stderr_path=tmp_path / "gone" / "err", boot_id=BOOT)
    assert caught.value.path == str(tmp_path / "gone" / "err")


def test_running_out_of_descriptors_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whatever number of descriptors is left, the program runs and is held, or there is no child."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    outcomes: set[int] = set()
    children = {child.pid for child in psutil.Process().children()}
    for spare in range(12):
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, hard))
        process = None
        try:
            process = spawn(["/bin/sleep", "600"], env={}, stdout=None, stderr_path=tmp_path / "err", boot_id=BOOT)
        except SpawnFailed as error:
            outcomes.add(error.errno)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if process is not None:
            outcomes.add(0)
            os.kill(process.identity.pid, signal.SIGKILL)
            os.waitpid(process.identity.pid, 0)
            process.release()
        assert {child.pid for child in psutil.Process().children()} == children
    assert outcomes == {errno.EMFILE, 0}


def test_a_program_that_cannot_be_held_is_ended_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def exhausted(pid: int) -> int:
        started.append(pid)
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(os, "pidfd_open", exhausted)
    with pytest.raises(SpawnFailed) as caught:
        spawn(["/bin/sleep", "600"], env={}, stdout=None, stderr_path=tmp_path / "err", boot_id=BOOT)
    assert caught.value.errno == errno.ENFILE
    assert is_reaped(started[0])


async def test_a_process_that_outlives_sigkill_is_reported(tmp_path: Path) -> None:
    async with started("stubborn", tmp_path) as program:
        with pytest.raises(StopFailed, match=str(program.process.identity.pid)):
            await program.process.stop(Ladder(0, 0, 0))
        async with asyncio.timeout(WAIT_S):
            assert await program.process.wait() == Exit(-9, signal.SIGKILL)


def test_the_tail_of_stderr_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "err"
    assert stderr_tail(path) == []
    path.write_bytes(b"".join(b"line %d \xff\n" % n for n in range(100_000)))
    tail = stderr_tail(path, 3)
    assert tail == [f"line {n} \N{REPLACEMENT CHARACTER}" for n in range(99_997, 100_000)]
    path.write_bytes(b"x" * 1_000_000)
    assert len(stderr_tail(path)[0]) == 64 * 1024


def test_a_program_is_found_by_what_it_was_told(tmp_path: Path) -> None:
    marker = f"{tmp_path}/20261123T091500Z-000001-cam0"
    process = spawn(
        [sys.executable, "-c", "import sys; sys.stdin.read(); import signal; signal.pause()", f"tee|{marker}/%06d.mp4"],
        env=dict(os.environ),
        stdout=None,
        stderr_path=tmp_path / "stderr.log",
        boot_id="today",
    )
    try:
        (found,) = find_by_argument(f"{marker}/%06d.mp4", "today")
        assert found.identity == process.identity
        assert found.argv[-1] == f"tee|{marker}/%06d.mp4"
        assert find_by_argument(f"{marker}/%06d.mp5", "today") == []
    finally:
        os.killpg(process.identity.pid, signal.SIGKILL)
        process.release()
        os.waitpid(process.identity.pid, 0)
    assert find_by_argument(marker, "today") == []


def test_one_that_leads_no_session_is_nobody_we_started(tmp_path: Path) -> None:
    marker = f"{tmp_path}/20261123T091500Z-000001-cam0"
    viewer = subprocess.Popen([sys.executable, "-c", "input()", marker], stdin=subprocess.PIPE)
    try:
        assert find_by_argument(marker, "today") == []
    finally:
        viewer.kill()
        viewer.communicate()
