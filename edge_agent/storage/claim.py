"""One agent for one state directory and for one volume: two would adopt the same recorders and fight over footage."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import socket
import threading
from pathlib import Path

from edge_agent.durable import make_folder

LOCK_NAME = "lock"

log = logging.getLogger(__name__)


class InUse(Exception):
    """Another agent has the directory; `pid` is its process, None where it did not say."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        who = "another edge-agent" if pid is None else f"another edge-agent (pid {pid})"
        super().__init__(f"{who} uses {directory}: stop it first, or give this one a device.state_dir of its own")
        self.directory = directory
        self.pid = pid


def claim(directory: Path) -> int | None:
    """Have the directory for this process; the kernel lets go of it with the descriptor that is returned.

    None where the directory takes no file: that is no reason not to record. Raises `InUse`. Blocking.
    """
    path = directory / LOCK_NAME
    try:
        make_folder(directory)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        log.warning("the state directory cannot be claimed: path=%s error=%s", path, error.strerror)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.read(descriptor, 32)
        os.close(descriptor)
        raise InUse(directory, int(told) if told.isdigit() else None) from None
    except OSError as error:
        os.close(descriptor)
        log.warning("the state directory cannot be claimed: path=%s error=%s", path, error.strerror)
        return None
    _sign(descriptor)
    return descriptor


def claimed(directory: Path) -> bool:
    """Whether a process has the directory now. Blocking; takes nothing."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False


def _sign(descriptor: int) -> None:
    """Say who has it. A full disk must not keep an agent from starting."""
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d" % os.getpid())
    except OSError as error:
        log.warning("the state directory's lock cannot be signed: %s", error.strerror)


class VolumeClaim:
    """A process's right to a recording volume, until it ends or closes this. `take` may be called from any thread.

    Held by a name in the kernel and not by a lock on the volume, which could not be unmounted then. Processes that do
    not share a network namespace do not see each other's.
    """

    def __init__(self) -> None:
        self._identity: str | None = None
        self._name: socket.socket | None = None
        self._lock = threading.Lock()

    def take(self, identity: str) -> bool:
        """Have the volume of this identity, in place of the one before. False when another process has it."""
        with self._lock:
            if identity == self._identity:
                return True
            self._drop()
            digest = hashlib.sha256(identity.encode(errors="replace")).hexdigest()
            name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                name.bind(f"\0edge-agent-volume-{digest[:32]}")
            except OSError as error:
                name.close()
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
            self._identity, self._name = identity, name
            return True

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._name is not None:
            self._name.close()
        self._identity = self._name = None
