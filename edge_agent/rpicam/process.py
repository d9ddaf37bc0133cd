"""One life of the camera program as a process: spawned or adopted, waited for, stopped; never left unreaped.

A process gets its own session, and nothing it needs comes from the agent: when the agent dies, it goes on. It is held
by a pidfd, so that no signal ever reaches a stranger that got the same pid. Nothing here starts threads or uses
asyncio's child watchers (a thread per child on 3.11, deprecated from 3.12 on).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_agent.core.model import ProcessIdentity

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")
STDERR_CHUNK_BYTES = 64 * 1024
"""How much of a program's stderr is looked at in one go: ten times what a normal life leaves."""

log = logging.getLogger(__name__)


class SpawnFailed(Exception):
    """The program could not be started, and nothing is left over. `errno` says why, `path` of which file."""

    def __init__(self, argv: Sequence[str], error: OSError) -> None:
        super().__init__(f"could not start {argv[0]}: {error.strerror} ({error.filename or argv[0]})")
        self.argv = tuple(argv)
        self.errno = error.errno or 0
        self.path = str(error.filename or argv[0])


class StopFailed(Exception):
    """The process outlived SIGKILL, as one does that waits for a dead disk in the kernel. It may still end."""

    def __init__(self, identity: ProcessIdentity) -> None:
        super().__init__(f"pid {identity.pid} outlived SIGKILL: a disk or the camera's driver hangs")
        self.identity = identity


@dataclass(frozen=True, slots=True)
class Ladder:
    """How long each signal may take, in seconds, before the next one; 0 leaves out SIGINT or SIGTERM.

    rpicam-vid finishes its file on SIGINT alone, in 0.3 s and the time its queue takes to the disk (6 s were seen). It
    is deaf to SIGINT while no frames come.
    """

    sigint_s: float = 8.0
    sigterm_s: float = 2.0
    sigkill_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """A living process and its command line."""

    identity: ProcessIdentity
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `returncode` is negative for a signal, None for an adopted process: only its parent is told.

    `asked` is the strongest signal that `stop` had sent by then, None for an end that the agent did not ask for.
    """

    returncode: int | None
    asked: signal.Signals | None


class CameraProcess:
    """A living camera program, and the way to its end. Made by `spawn` and `adopt`; call from one event loop only.

    Its owner keeps a task in `wait` for as long as the process lives, or it stays a zombie, or lets go by `release`.
    """

    def __init__(self, identity: ProcessIdentity, pidfd: int, *, adopted: bool) -> None:
        self.identity = identity
        self.adopted = adopted
        self._pidfd = pidfd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exit: Exit | None = None
        self._exited = asyncio.Event()
        self._asked: signal.Signals | None = None
        self._stopping = asyncio.Lock()

    @property
    def exit(self) -> Exit | None:
        """How it ended, None while it lives. Known only when somebody waits."""
        return self._exit

    async def wait(self) -> Exit:
        """Return when the process has ended and is reaped. For any number of callers, and safe to cancel."""
        if self._exit is None and self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._pidfd, self._reap)
        while self._exit is None:
            await self._exited.wait()
        return self._exit

    async def stop(self, ladder: Ladder) -> Exit:
        """Ask the whole process group to end, ever more firmly, and return when the process is reaped.

        A second call waits for the first one and returns the same. A cancelled call leaves the signals sent so far; the
        next one starts again from SIGINT. Raises `StopFailed` when even SIGKILL did not help in its time.
        """
        async with self._stopping:
            rungs = [
                (signal.SIGINT, ladder.sigint_s),
                (signal.SIGTERM, ladder.sigterm_s),
                (signal.SIGKILL, ladder.sigkill_s),
            ]
            ignored = ""
            for signum, patience_s in rungs:
                if self._exit is not None:
                    return self._exit
                if patience_s <= 0 and signum is not signal.SIGKILL:
                    continue
                if ignored:
                    log.warning("camera program ignored %s, sending %s pid=%d", ignored, signum.name, self.identity.pid)
                self._send(signum)
                try:
                    async with asyncio.timeout(patience_s):
                        return await self.wait()
                except TimeoutError:
                    ignored = f"{signum.name} for {patience_s:g} s"
            raise StopFailed(self.identity)

    def release(self) -> None:
        """Let go of a process that shall outlive this agent. Nobody may be waiting; harmless after the exit."""
        if self._loop is not None:
            self._loop.remove_reader(self._pidfd)
            self._loop = None
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _send(self, signum: signal.Signals) -> None:
        """Signal the group. The pidfd proves that its leader is ours still, so that the group's number is too."""
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
            os.killpg(self.identity.pid, signum)
        except ProcessLookupError:
            return
        self._asked = signum

    def _reap(self) -> None:
        """Called by the loop when the pidfd says that the process has ended."""
        returncode = None
        try:
            status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            pass  # adopted: the parent, today init, reaps it and keeps its exit code
        else:
            if status is None:
                return
            returncode = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
        self._exit = Exit(returncode, self._asked)
        self.release()
        self._exited.set()


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], stdout: int | None, stderr_path: Path, boot_id: str
) -> CameraProcess:
    """Start `argv` in a session of its own, without stdin and core dumps; its stderr is appended to `stderr_path`.

    `stdout` is a descriptor, which stays the caller's to close, or None for /dev/null. The call blocks until
    the program is loaded: 0.3 ms from an agent of 45 MB, longer when a slow card has to read the program. It needs
    no event loop, so that it may run in a thread. Raises `SpawnFailed`.
    """
    with ExitStack() as undo:
        try:
            stderr = os.open(stderr_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            undo.callback(os.close, stderr)
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if stdout is None else stdout,
                stderr=stderr,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            raise SpawnFailed(argv, error) from error
        try:
            process = _hold(child, boot_id)
        except OSError as error:
            child.kill()
            child.wait()
            raise SpawnFailed(argv, error) from error
    log.info("camera program started pid=%d argv=%s", process.identity.pid, shlex.join(argv))
    return process


def adopt(identity: ProcessIdentity, boot_id: str) -> CameraProcess | None:
    """Take over a process that an earlier agent spawned; None when it has ended, whoever has its pid now.

    `boot_id` is that of today. Raises OSError when descriptors have run out.
    """
    if identity.boot_id != boot_id:
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    # The descriptor comes first: what /proc says then is of this process, or of a later one with another tick.
    try:
        facts = _stat(identity.pid)
    except ProcessLookupError:
        os.close(pidfd)
        return None
    except OSError:
        os.close(pidfd)
        raise
    if facts.start_ticks != identity.start_ticks or facts.state in "ZX":
        os.close(pidfd)
        return None
    log.info("camera program adopted pid=%d", identity.pid)
    return CameraProcess(identity, pidfd, adopted=True)


def find_by_argument(text: str, boot_id: str) -> list[Running]:
    """The living processes that lead a session, as those of `spawn` do, and have `text` in an argument.

    For a program of which nothing is known but what it was told: its agent died before it could note the pid. `boot_id`
    is that of today. Processes of other users may be invisible. Blocking: reads two files per process of the machine.
    """
    wanted = os.fsencode(text)
    found: list[Running] = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            words = (place / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if not any(wanted in word for word in words):
                continue
            facts = _stat(int(place.name))
        except OSError:
            continue
        if facts.session == int(place.name) and facts.state not in "ZX":
            identity = ProcessIdentity(int(place.name), facts.start_ticks, boot_id)
            found.append(Running(identity, tuple(os.fsdecode(word) for word in words)))
    return found


def read_boot_id(path: Path = BOOT_ID_PATH) -> str:
    """The id of this boot of the machine; in a container that of the host."""
    return path.read_text("ascii").strip()


def start_ticks(pid: int) -> int:
    """When process `pid` started, in clock ticks since the boot. Raises ProcessLookupError."""
    return _stat(pid).start_ticks


def stderr_tail(path: Path, limit_lines: int = 50) -> list[str]:
    """The last lines of a program's stderr, oldest first, from its last 64 KiB at most.

    Empty when there are none, and when the disk does not give them.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - STDERR_CHUNK_BYTES))
            text = file.read(STDERR_CHUNK_BYTES).decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-limit_lines:]


def _hold(child: subprocess.Popen[bytes], boot_id: str) -> CameraProcess:
    """The started child as a `CameraProcess`; what Popen knows of it is forgotten."""
    try:
        resource.prlimit(child.pid, resource.RLIMIT_CORE, (0, 0))
    except PermissionError:
        log.warning("core dumps of the camera program could not be switched off pid=%d", child.pid)
    ticks = start_ticks(child.pid)
    pidfd = os.pidfd_open(child.pid)
    child.returncode = 0  # reaped by its pidfd alone: Popen must neither wait for it nor warn about it
    return CameraProcess(ProcessIdentity(child.pid, ticks, boot_id), pidfd, adopted=False)


class _Stat(NamedTuple):
    state: str
    session: int
    start_ticks: int


def _stat(pid: int) -> _Stat:
    """Fields 3, 6 and 22 of /proc/{pid}/stat. Field 2, the name, may hold blanks and ')'."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"pid {pid}") from None
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(fields[0], int(fields[3]), int(fields[19]))
