from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge_agent.host.systemd import ServiceManager

PATIENCE_S = 30.0


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A stand-in for systemd's end of the notify socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(PATIENCE_S)
        yield manager


@pytest.fixture
def notify_path(tmp_path: Path) -> Path:
    return tmp_path / "notify"


def test_each_word_arrives_at_a_socket_with_a_path(notify_path: Path) -> None:
    with listening(str(notify_path)) as manager:
        service = ServiceManager({"NOTIFY_SOCKET": str(notify_path)})
        service.ready("idle")
        assert manager.recv(4096) == b"READY=1\nSTATUS=idle"
        service.status("recording dual-640")
        assert manager.recv(4096) == b"STATUS=recording dual-640"
        service.alive()
        assert manager.recv(4096) == b"WATCHDOG=1"
        service.stopping("finishing 2 recordings")
        assert manager.recv(4096) == b"STOPPING=1\nSTATUS=finishing 2 recordings"


def test_an_abstract_socket_is_reached_too() -> None:
    name = f"edge-agent-test-{os.getpid()}"
    with listening("\0" + name) as manager:
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).alive()
        assert manager.recv(4096) == b"WATCHDOG=1"


def test_a_line_break_in_a_status_can_not_say_another_word(notify_path: Path) -> None:
    with listening(str(notify_path)) as manager:
        ServiceManager({"NOTIFY_SOCKET": str(notify_path)}).status("idle\nSTOPPING=1")
        assert manager.recv(4096) == b"STATUS=idle STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_nothing_happens(environ: dict[str, str]) -> None:
    service = ServiceManager(environ)
    service.ready("idle")
    service.stopping("idle")


def test_a_manager_that_went_away_is_logged_once_and_again_after_it_came_back(
    notify_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": str(notify_path)})
    with caplog.at_level(logging.WARNING):
        service.alive()
        service.alive()
        assert len(caplog.records) == 1
        with listening(str(notify_path)):
            service.alive()
        service.alive()
    assert len(caplog.records) == 2


def test_a_manager_that_does_not_read_never_holds_the_agent(notify_path: Path) -> None:
    with listening(str(notify_path)) as manager:
        service = ServiceManager({"NOTIFY_SOCKET": str(notify_path)})
        for _ in range(2000):  # more than net.unix.max_dgram_qlen of any machine
            service.alive()
        assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_counts_only_where_it_is_set_for_this_process(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    assert ServiceManager(environ, pid=42).watchdog_s == watchdog_s


async def test_the_watchdog_is_fed_while_all_is_well_and_starved_while_something_hangs(
    notify_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    trouble: list[str] = []
    looks: asyncio.Queue[None] = asyncio.Queue()

    def look() -> str | None:
        looks.put_nowait(None)
        return trouble[0] if trouble else None

    async def looked(times: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(looks.qsize() + times):
                await looks.get()

    with listening(str(notify_path)) as manager:
        manager.setblocking(False)
        service = ServiceManager({"NOTIFY_SOCKET": str(notify_path), "WATCHDOG_USEC": "3000"})
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(service.feed_watchdog(look), name="watchdog")
            assert await asyncio.wait_for(loop.sock_recv(manager, 4096), PATIENCE_S) == b"WATCHDOG=1"
            trouble.append("mqtt")
            await looked(1)
            with suppress(BlockingIOError):
                while True:
                    manager.recv(4096)
            await looked(3)
            with pytest.raises(BlockingIOError):
                manager.recv(4096)
            trouble.clear()
            assert await asyncio.wait_for(loop.sock_recv(manager, 4096), PATIENCE_S) == b"WATCHDOG=1"
            feeding.cancel()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "reason=mqtt" in caplog.text


async def test_no_watchdog_can_not_be_fed() -> None:
    with pytest.raises(ValueError, match="no watchdog"):
        await ServiceManager({}).feed_watchdog(lambda: None)
