"""What the service manager is told, and when it expects a sign of life; systemd's notify protocol, sd_notify(3)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class ServiceManager:
    """systemd, if it started this process as `Type=notify`; else nobody, and every method does nothing.

    Call on the loop: a datagram is sent without waiting, and one that cannot be sent is lost, which is logged once.
    """

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._broken = False
        self.watchdog_s = _watchdog_s(environ, os.getpid() if pid is None else pid)

    def ready(self, status: str) -> None:
        """The start is over: what depends on this service may start."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows in one line."""
        self._send(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        """The way down begins; the stop timeout runs from here."""
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    async def feed_watchdog(self, trouble: Callable[[], str | None]) -> None:
        """Give a sign of life three times in `watchdog_s`, for ever, while `trouble` returns None.

        `trouble` names what hangs, and the manager then kills the agent, whose recorders go on. Only for a
        `watchdog_s` that is not None.
        """
        if self.watchdog_s is None:
            raise ValueError("the service manager has set no watchdog")
        told: str | None = None
        while True:
            hanging = trouble()
            if hanging is None:
                self.alive()
            elif hanging != told:
                log.error("watchdog starved reason=%s limit_s=%g", hanging, self.watchdog_s)
            told = hanging
            await asyncio.sleep(self.watchdog_s / 3)

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._broken:
                log.warning("cannot notify the service manager: error=%s", error)
            self._broken = True
        else:
            self._broken = False


def _address(name: str) -> str | None:
    """The socket's address: a path, or with @ a name in Linux's abstract namespace."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Seconds within which a sign of life is expected, sd_watchdog_enabled(3); None where none is."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())
