"""The state file: a small JSON object that survives a restart, a power cut at any instant, and a damaged disk.

Beside the file lies `{name}.previous`, the state before the last one. Everything here blocks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.durable import make_folder, sync_folder, write_durably
from edge_agent.storage.errors import storage_errors

log = logging.getLogger(__name__)

VERSION = 1
MAX_BYTES = 1_048_576
"""A state is a few hundred bytes; a larger file is not ours and is not read."""
MAX_SET_ASIDE = 9
"""Damaged files kept for whoever wants to know why; the last name is used again when all are taken."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Why the newest state could not be read. `set_aside` is where the file lies now, None if it could not be moved."""

    message: str
    set_aside: Path | None


class _UnreadableError(Exception):
    """A file is there and is not a state; the text says why."""


class StateFile:
    """One state in one file. Belongs to one process and one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._previous = path.with_name(path.name + ".previous")
        self._last_good: bytes | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state; the one before it is kept. Blocking: two files are synced.

        At a power cut at any instant the file holds the old or the new state. `state` must consist of JSON values.
        Raises `StorageError`; the old state is then still there.
        """
        content = encode(state)
        with storage_errors("save the state in", self._path):
            make_folder(self._path.parent)
            if self._last_good is not None and self._last_good != content:
                write_durably(self._previous, self._last_good)
            write_durably(self._path, content)
        self._last_good = content

    def load(self) -> tuple[dict[str, Any] | None, Damage | None]:
        """The newest state that can be read, and what was wrong if it is not the newest. Blocking.

        None is the state of a device that has none yet, or whose two copies are both damaged. A damaged file is
        renamed to `{name}.damaged-{n}`. Never raises for what it finds or cannot read.
        """
        state, why = self._read(self._path)
        if why is None and (state is not None or not self._previous.exists()):
            return state, None
        message = f"{self._path} {why or 'is missing'}"
        set_aside = None if why is None else _set_aside(self._path)
        state, why = self._read(self._previous)
        if why is not None:
            _set_aside(self._previous)
        outcome = "its defaults" if state is None else f"the state before it, from {self._previous}"
        return state, Damage(f"{message}; the agent goes on with {outcome}", set_aside)

    def _read(self, path: Path) -> tuple[dict[str, Any] | None, str | None]:
        """The state in a file, None for no file; or why it is none."""
        try:
            content = _content(path)
            state = None if content is None else decode(content)
        except _UnreadableError as error:
            return None, str(error)
        except OSError as error:
            return None, f"cannot be read: {error.strerror}"
        self._last_good = content if content is not None else self._last_good
        return state, None


def encode(state: dict[str, Any]) -> bytes:
    """The file's content: one line of JSON with a checksum over the state."""
    text = json.dumps(state, sort_keys=True, allow_nan=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{{"v":{VERSION},"sha256":"{digest}","state":{text}}}\n'.encode()


def decode(content: bytes) -> dict[str, Any]:
    """The state that `encode` wrote; any other byte sequence raises `_UnreadableError`."""
    if not content:
        raise _UnreadableError("is empty")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _UnreadableError("is no JSON") from error
    if not isinstance(document, dict):
        raise _UnreadableError("is no JSON object")
    version = document.get("v")
    if isinstance(version, int) and version > VERSION:
        raise _UnreadableError(f"has version {version}, from a newer agent; this one reads {VERSION}")
    state = document.get("state")
    try:
        intact = isinstance(state, dict) and encode(state) == content
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise _UnreadableError("does not match its checksum")
    return dict(document["state"])


def _content(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _UnreadableError("is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise _UnreadableError(f"is larger than {MAX_BYTES} bytes")
    return content


def _set_aside(path: Path) -> Path | None:
    """Rename a damaged file so that nothing of it is lost. None, logged, where the disk does not let us."""
    names = [path.with_name(f"{path.name}.damaged-{n}") for n in range(1, MAX_SET_ASIDE + 1)]
    target = next((name for name in names if not os.path.lexists(name)), names[-1])
    try:
        path.rename(target)
        sync_folder(path.parent)
    except OSError as error:
        log.warning("cannot set a damaged file aside: path=%s error=%s", path, error.strerror)
        return None
    return target
