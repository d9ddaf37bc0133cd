"""The broker that the agent brings along where none is configured: a real mosquitto as a child, on loopback only.

It keeps nothing on disk, lets every local user in, and dies with the agent, however the agent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import random
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_agent.mqtt.uplink import TellProblem

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
READY_TIMEOUT_S = 10.0
"""It takes 10 to 20 ms; a machine that boots takes longer."""
STOP_TIMEOUT_S = 3.0
LONGEST_DELAY_S = 30.0
PROBLEM = "embedded_broker"
_EXTRA_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/sbin"
"""Debian keeps mosquitto outside a plain user's PATH."""
_LARGEST_PACKET_BYTES = 4 * 1024 * 1024
_CONNECT = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x05\x00\x05ready"
"""A 3.1.1 CONNECT of a client called `ready`. A bare TCP connection is accepted before mosquitto serves it."""
_WELCOME = b"\x20\x02\x00\x00"
_DISCONNECT = b"\xe0\x00"
_TAIL_BYTES = 2000
_BOUND = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG and exec, for machines without setpriv. A parent that died before the call is noticed too."""


@dataclass(frozen=True, slots=True)
class BrokerMissing:
    """There is no mosquitto on this machine; the message says what to install."""

    message: str


class BrokerFailed(Exception):
    """mosquitto did not come up. The text holds its last words."""


def find_mosquitto() -> Path | BrokerMissing:
    """Where the broker's program is."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{_EXTRA_PATH}")
    if found is None:
        return BrokerMissing("no mosquitto here; sudo apt install mosquitto, or set mqtt.host to a broker of yours")
    return Path(found)


def free_port(preferred: int) -> int:
    """The preferred loopback port if nobody has it, else any free one."""
    for port in (preferred, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            # As mosquitto does: connections of an earlier one that linger do not make a port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            chosen: int = probe.getsockname()[1]
            return chosen
    return preferred


class EmbeddedBroker:
    """A mosquitto child on `port` of loopback, its files in `directory`.

    `start` it before anybody connects, await `run` in a task to have it restarted when it dies, `stop` it last. Call
    from the thread of the event loop, which has to outlive it: the kernel ends the child together with that thread.
    """

    def __init__(self, program: Path, directory: Path, port: int, tell: TellProblem) -> None:
        self.port = port
        self._program = program
        self._directory = directory
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._gone: asyncio.Event = asyncio.Event()
        self._stopping = asyncio.Event()

    @property
    def log_path(self) -> Path:
        """Where the broker's own words are."""
        return self._directory / "mosquitto.log"

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it and wait until it answers a CONNECT. Raises `BrokerFailed`."""
        if free_port(self.port) != self.port:
            # Checked first: else the other one's answer would be taken for our child's.
            raise BrokerFailed(f"port {self.port} is taken by another program")
        self._spawn()
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await _answers(self.port):
                    if self._gone.is_set():
                        raise BrokerFailed(f"mosquitto on port {self.port} ended at once: {self._last_words()}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            await self._end()
            raise BrokerFailed(f"mosquitto on port {self.port} does not answer: {self._last_words()}") from None
        log.info("embedded broker ready port=%d pid=%s", self.port, self.pid)

    async def run(self) -> None:
        """Keep it alive, with backoff, until `stop`. Call after `start`."""
        while True:
            await self._gone.wait()
            if self._stopping.is_set():
                return
            log.warning("embedded broker died port=%d: %s", self.port, self._last_words())
            self._tell(PROBLEM, f"the agent's own broker died; its last words are in {self.log_path}")
            await self._revive()
            self._tell(PROBLEM, None)

    async def _revive(self) -> None:
        delay_s = 0.0
        while not self._stopping.is_set():
            with contextlib.suppress(BrokerFailed):
                return await self.start()
            delay_s = min(LONGEST_DELAY_S, max(1.0, 2 * delay_s))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.SystemRandom().uniform(0, delay_s)):
                    await self._stopping.wait()
        return None

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after `STOP_TIMEOUT_S`. Always reaps. May be repeated."""
        self._stopping.set()
        await self._end()
        self._gone.set()

    def _spawn(self) -> None:
        try:
            process, descriptor = self._started()
        except OSError as error:
            raise BrokerFailed(f"mosquitto cannot be started: {error}") from error
        self._process = process
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._reap, process, descriptor, self._gone)

    def _started(self) -> tuple[subprocess.Popen[bytes], int]:
        """The child and a descriptor that tells of its end; no child where there is none to be had."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config_path = self._directory / "mosquitto.conf"
        config_path.write_text("\n".join(configuration(self.port)) + "\n")
        command = [*dies_with_us(), str(self._program), "-c", str(config_path)]
        log.info("embedded broker: %s", shlex.join(command))
        with self.log_path.open("wb") as words:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                process_group=0,
                cwd="/",
                # mosquitto would speak to systemd in the agent's name.
                env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
            )
        try:
            return process, os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            raise

    def _reap(self, process: subprocess.Popen[bytes], descriptor: int, gone: asyncio.Event) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        process.wait()
        self._process = None
        gone.set()

    async def _end(self) -> None:
        for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
            if self._process is None:
                return
            stop(self._process)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._gone.wait()

    def _last_words(self) -> str:
        try:
            return self.log_path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip() or "it said nothing"
        except OSError as error:
            return f"its log cannot be read: {error}"


def configuration(port: int) -> list[str]:
    """The lines of mosquitto.conf.

    `user` is the agent's own name: started by root mosquitto would change to another user, which clears the order to
    die with its parent. Without `set_tcp_nodelay` an answer may take 42 ms longer.
    """
    lines = [
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "persistence false",
        f"max_packet_size {_LARGEST_PACKET_BYTES}",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "connection_messages false",
    ]
    with contextlib.suppress(KeyError):  # in a container the user may have no name; then it is not root either
        lines.append(f"user {pwd.getpwuid(os.getuid()).pw_name}")
    return lines


def dies_with_us() -> list[str]:
    """A command prefix that makes the kernel end the program together with the agent."""
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        return [setpriv, "--pdeathsig", "TERM"]
    return [sys.executable, "-c", _BOUND, str(os.getpid())]


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(_CONNECT)
        answer = await reader.readexactly(len(_WELCOME))
        writer.write(_DISCONNECT)
    except (OSError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
    return answer == _WELCOME
