"""Under a service manager: what it is told, and that it kills what hangs. A stand-in listens at the notify socket."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.end_to_end.footage import assert_gapless
from tests.fakes.agent import PATIENCE_S, RunningAgent, eventually, frozen
from tests.fakes.mounts import Mounts
from tests.faults.machine import FaultyDisk, await_footage, await_problem, codes

pytestmark = pytest.mark.slow

WATCHDOG_S = 3.0


class Manager:
    """systemd's end of the socket."""

    def __init__(self, manager: socket.socket) -> None:
        self._socket = manager

    def hear(self, word: str) -> str:
        """Wait for a message that has this word in it."""
        self._socket.settimeout(PATIENCE_S)
        while word not in (message := self._socket.recv(4096).decode()):
            assert "STOPPING" not in message
        return message

    def heard(self) -> list[str]:
        """What has come by now."""
        self._socket.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return messages

    def assert_silent(self, length_s: float) -> None:
        """See that nothing comes for so long."""
        self._socket.settimeout(length_s)
        with pytest.raises(TimeoutError):
            self._socket.recv(4096)


@contextmanager
def listening(path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        yield Manager(manager)


@pytest.fixture
def notify(tmp_path: Path) -> Path:
    return tmp_path / "notify"


@pytest.fixture
def manager(notify: Path) -> Iterator[Manager]:
    with listening(notify) as manager:
        yield manager


def _variables(notify: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}


def test_a_service_says_when_it_is_ready_alive_and_stopping_and_is_silent_when_it_hangs(
    make_agent: MakeAgent, manager: Manager, notify: Path
) -> None:
    device = make_agent(variables=_variables(notify))
    device.start()
    assert manager.hear("READY=1").startswith("READY=1\nSTATUS=")
    for _ in range(3):
        manager.hear("WATCHDOG=1")
    device.do("start", "dual-640")
    await_footage(device, 1)
    recorders = device.recorders()

    with frozen(device.the_process().pid):
        manager.heard()
        manager.assert_silent(WATCHDOG_S)
        device.the_process().send_signal(signal.SIGABRT)  # what the service manager does then
    assert device.the_process().wait(PATIENCE_S) == -signal.SIGABRT
    device.start()
    assert device.recorders() == recorders
    pid = device.the_process().pid

    device.mark()
    device.do("restart")
    manager.hear("READY=1")
    device.await_online()
    assert device.wait_for_event("agent_started")["adopted"] == 2
    assert (device.the_process().pid, device.the_process().poll()) == (pid, None)
    assert device.recorders() == recorders
    manager.hear("WATCHDOG=1")

    begun = time.monotonic()
    device.the_process().terminate()
    manager.hear("STOPPING=1")
    assert device.the_process().wait(PATIENCE_S) == 0
    assert time.monotonic() - begun < 60, "the service manager's patience"
    assert device.recorders() == {}
    assert device.found("spool/2*") == []
    for camera in ("cam0", "cam1"):
        assert len(assert_gapless(device, camera)) == 1


def test_a_recording_that_nobody_can_look_after_starves_the_watchdog(
    device: RunningAgent, mounts: Mounts, folder: Path, manager: Manager, notify: Path
) -> None:
    with FaultyDisk(mounts, folder) as disk:
        device.root = disk.backing
        device.set(recording__min_free_bytes=0)
        device.let(_variables(notify))
        device.start()
        device.do("start", "cam0-640")
        await_footage(device, 1)
        manager.heard()
        disk.fail({"sync .mp4": "hang"})
        eventually(lambda: "watchdog starved" in device.log, "a starved watchdog")
        assert "though the volume answers" in device.log
        manager.heard()
        manager.assert_silent(WATCHDOG_S)
        disk.fail({})
        manager.hear("WATCHDOG=1")
        device.do("stop")
        assert_gapless(device, "cam0")


def test_a_service_whose_configuration_is_damaged_goes_on_with_the_last_good_one(
    make_agent: MakeAgent, manager: Manager, notify: Path, tmp_path: Path
) -> None:
    file, directory = tmp_path / "edge-agent.toml", tmp_path / "service"
    directory.mkdir()
    file.write_text('[device]\nname = "The van"\n[rpicam]\ncommand = "simulated"\n')
    variables = {"EDGE_AGENT_CONFIG": str(file), "STATE_DIRECTORY": str(directory)}
    device = make_agent(variables=_variables(notify) | variables)
    device.start()
    device.do("start", {"mode": "dual-640", "label": "trip"})
    await_footage(device, 1)
    recorders = device.recorders()
    device.kill()

    file.write_bytes(bytes(4096))
    device.start()
    assert str(file) in await_problem(device, "configuration")
    assert device.heard("info")[-1].document["name"] == "The van"
    assert (device.status["label"], device.recorders()) == ("trip", recorders)
    device.stop()
    file.write_text('[device]\nname = "The boat"\n[rpicam]\ncommand = "simulated"\n')
    device.start()
    assert "configuration" not in codes(device)
    assert device.heard("info")[-1].document["name"] == "The boat"
    device.do("stop")
    for camera in ("cam0", "cam1"):
        assert_gapless(device, camera)


def test_a_port_that_is_taken_costs_the_page_alone_and_is_told_with_advice(make_agent: MakeAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        agent = make_agent(web__port=other.getsockname()[1]).start()
        told = await_problem(agent, "web_unavailable")
        assert "set another web.host or web.port" in told
        assert told in agent.log
        assert agent.heard("info")[-1].document["http"] == {"url": None}
        agent.do("start", "cam0-640")
        await_footage(agent, 1)
