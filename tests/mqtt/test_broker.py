from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from edge_agent.mqtt import broker as embedded
from edge_agent.mqtt.broker import BrokerFailed, BrokerMissing, EmbeddedBroker, find_mosquitto, free_port
from tests.fakes.listener import TIMEOUT_S, Listener

AGENT = """
import asyncio, sys
from pathlib import Path
from edge_agent.mqtt import broker
if sys.argv[2] == "without setpriv":
    broker.shutil.which = lambda name, **_: None if name == "setpriv" else "/usr/sbin/mosquitto"
async def main():
    child = broker.EmbeddedBroker(Path(sys.argv[3]), Path(sys.argv[1]), broker.free_port(0), print)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
"""A process with an embedded broker, to be killed."""


def program() -> Path:
    found = find_mosquitto()
    assert isinstance(found, Path)
    return found


class Told:
    def __init__(self) -> None:
        self.problems: list[tuple[str, bool]] = []
        self.changed = asyncio.Event()

    def __call__(self, code: str, message: str | None) -> None:
        self.problems.append((code, message is not None))
        self.changed.set()


@asynccontextmanager
async def started(directory: Path, told: Told | None = None) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(program(), directory, free_port(0), told or Told())
    await broker.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(broker.run(), name="broker")
        try:
            yield broker
        finally:
            await broker.stop()


async def test_it_serves_as_soon_as_it_is_started(tmp_path: Path) -> None:
    async with started(tmp_path) as broker:
        with Listener(broker.port, "t") as listener:
            listener.publish("t", "hello")
            await listener.message("t", "hello")
        pid = broker.pid
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_directory_that_takes_no_file_is_told_as_a_broker_that_failed(tmp_path: Path) -> None:
    """The agent then goes on without one."""
    (tmp_path / "broker").write_bytes(b"")
    with pytest.raises(BrokerFailed, match=str(tmp_path / "broker")):
        await EmbeddedBroker(program(), tmp_path / "broker", free_port(0), Told()).start()


async def test_a_machine_without_descriptors_is_told_so_too_and_left_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = psutil.Process().children()
    broker = EmbeddedBroker(program(), tmp_path, free_port(0), Told())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(BrokerFailed, match="Too many open files"):
            await broker.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def exhausted(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", exhausted)
    with pytest.raises(BrokerFailed, match="Too many open files"):
        await broker.start()
    assert psutil.Process().children() == children


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    async with started(tmp_path) as broker:
        table = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))  # noqa: ASYNC240 - no disk
        port = f":{broker.port:04X} "
        listening = [line.split()[1] for line in table.splitlines() if port in line and line.split()[3] == "0A"]
        assert listening == [f"0100007F{port.strip()}"]


async def test_one_that_dies_is_restarted_on_its_port(tmp_path: Path) -> None:
    told = Told()
    async with started(tmp_path, told) as broker:
        first = broker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_S):
            while len(told.problems) < 2:
                told.changed.clear()
                await told.changed.wait()
        assert told.problems == [("embedded_broker", True), ("embedded_broker", False)]
        assert broker.pid not in (None, first)
        with Listener(broker.port, "t") as listener:
            listener.publish("t", "again")
            await listener.message("t", "again")


async def test_a_child_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    script = tmp_path / "mosquitto"
    script.write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    script.chmod(0o755)
    broker = EmbeddedBroker(script, tmp_path, free_port(0), Told())
    with pytest.raises(BrokerFailed, match="no such option"):
        await broker.start()
    await broker.stop()


async def test_a_taken_port_fails_at_once(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        broker = EmbeddedBroker(program(), tmp_path, other.getsockname()[1], Told())
        with pytest.raises(BrokerFailed, match="is taken by another program"):
            await broker.start()
        await broker.stop()


def test_the_preferred_port_is_taken_where_it_is_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = other.getsockname()[1]
        other.listen()
        assert free_port(taken) != taken
    assert free_port(taken) == taken


@pytest.mark.parametrize("tool", ["with setpriv", "without setpriv"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_it_dies_with_the_agent_however_that_dies(tmp_path: Path, tool: str, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, str(tmp_path), tool, str(program())], stdout=subprocess.PIPE
    ) as agent:
        assert agent.stdout is not None
        pid = int(agent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        try:
            agent.send_signal(how)
            agent.wait(TIMEOUT_S)
            assert has_ended(descriptor), "mosquitto outlived the agent"
        finally:
            os.close(descriptor)


def has_ended(descriptor: int) -> bool:
    async def wait() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        async with asyncio.timeout(TIMEOUT_S):
            await ended.wait()
        asyncio.get_running_loop().remove_reader(descriptor)

    try:
        asyncio.run(wait())
    except TimeoutError:
        return False
    return True


def test_a_machine_without_mosquitto_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_EXTRA_PATH", str(tmp_path))
    found = find_mosquitto()
    assert isinstance(found, BrokerMissing)
    assert "apt install mosquitto" in found.message
