"""One agent for one state directory: two would adopt the same recorders and fight over the same footage."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from edge_agent.storage.durable import make_folder

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


def _sign(descriptor: int) -> None:
    """Say who has it. A full disk must not keep an agent from starting."""
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d" % os.getpid())
    except OSError as error:
        log.warning("the state directory's lock cannot be signed: %s", error.strerror)
