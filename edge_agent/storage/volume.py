"""The volume that footage lies on: whether it is the right one, whether it can be written, how much room it has.

A volume is known by a marker file at its root. Without it, a mount point whose disk is missing looks like an empty
folder, and recording would fill the root disk. Nothing here raises for what a disk can do: the answers are values.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.core.retention import VolumeState
from edge_agent.durable import make_folder, sync_data, write_all, write_durably
from edge_agent.storage.claim import VolumeClaim
from edge_agent.storage.errors import StorageError, Trouble, trouble_of
from edge_agent.storage.tree import opened

MARKER_NAME = ".edge-agent-volume"
PROBE_NAME = ".edge-agent-probe"
STATE_NAME = "volume.json"
_MAX_MARKER_BYTES = 4096
_PROBE = b"edge_agent was here\n"


@dataclass(frozen=True, slots=True)
class Room:
    """What the file system says of itself; inodes are None where it does not count them."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None
    read_only: bool

    @property
    def state(self) -> VolumeState:
        """The part that retention goes by."""
        return VolumeState(self.free_bytes, self.total_bytes, self.free_inodes)


@dataclass(frozen=True, slots=True)
class Health:
    """The answer to "can footage be stored here?": `trouble` None means yes, else `message` says what to do.

    `room` is None where the file system could not be asked. `sync_ms` is what syncing the probe took, None when none
    was written.
    """

    trouble: Trouble | None
    message: str = ""
    room: Room | None = None
    sync_ms: float | None = None


class Volume:
    """The volume at `root`, which this device remembers in `state_dir` once it has seen it.

    With a `claim` it has to be free for this process, or held by it already.
    """

    def __init__(self, root: Path, state_dir: Path, claim: VolumeClaim | None = None) -> None:
        self._root = root.absolute()
        self._claim = claim
        self._state_path = state_dir.absolute() / STATE_NAME

    def check(self) -> Health:
        """Whether this is the volume that is remembered, whether it is writable, and its room; writes nothing to it.

        The first time, before any volume is remembered at this root, the root is made and marked.
        """
        known = self._known()
        try:
            if known is None:
                known = self._marker() or str(uuid.uuid4())
                self._mark(known)
            elif (marker := self._marker()) != known:
                return self._wrong(marker)
            if self._claim is not None and not self._claim.take(known):
                return Health(
                    Trouble.IN_USE,
                    f"another edge-agent records to {self._root}: stop it, or choose another recording.root",
                )
            room = room_at(self._root)
        except OSError as error:
            return Health(trouble_of(error), f"{self._root} cannot be used: {error.strerror or error}")
        return judged(self._root, room)

    def probe(self) -> Health:
        """`check`, and then write, sync and delete a small file. Takes as long as the disk does."""
        health = self.check()
        if health.trouble is not None:
            return health
        path = self._root / PROBE_NAME
        try:
            sync_ms = _write_and_delete(path)
        except OSError as error:
            return replace(
                health, trouble=trouble_of(error), message=f"{path} cannot be written: {error.strerror or error}"
            )
        return replace(health, sync_ms=sync_ms)

    def demand(self) -> None:
        """Raise `StorageError` unless the right volume is there: for whoever is about to make folders on it."""
        health = self.check()
        if health.trouble in (Trouble.VOLUME_MISSING, Trouble.OTHER_VOLUME, Trouble.IN_USE):
            raise StorageError("use", self._root, OSError(errno.ENOENT, health.message))

    def _wrong(self, marker: str | None) -> Health:
        accept = f"mount the right one, or delete {self._state_path} to take what is there now"
        if marker is None:
            return Health(Trouble.VOLUME_MISSING, f"the recording volume is not mounted at {self._root}: {accept}")
        return Health(
            Trouble.OTHER_VOLUME, f"another device's or an earlier volume is mounted at {self._root}: {accept}"
        )

    def _mark(self, identity: str) -> None:
        """Mark the volume, then remember it: in this order, so that a crash between leaves it unknown, not missing."""
        document = json.dumps({"v": 1, "uuid": identity}).encode() + b"\n"
        make_folder(self._root)
        if self._marker() != identity:
            write_durably(self._root / MARKER_NAME, document)
        make_folder(self._state_path.parent)
        remembered = {"v": 1, "root": str(self._root), "uuid": identity}
        write_durably(self._state_path, json.dumps(remembered).encode() + b"\n")

    def _marker(self) -> str | None:
        """The identity on the volume; None when there is no readable marker. Raises `OSError` for a disk that fails."""
        try:
            with opened(self._root / MARKER_NAME) as descriptor:
                return _identity(os.read(descriptor, _MAX_MARKER_BYTES))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _known(self) -> str | None:
        """The identity remembered for this root; None at another root, the first time, or when the memory is lost."""
        try:
            content = self._state_path.read_bytes()
            return _identity(content) if json.loads(content)["root"] == str(self._root) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def judged(root: Path, room: Room) -> Health:
    """Whether a file system with this room can take footage."""
    if room.read_only:
        return Health(Trouble.READ_ONLY, f"{root} is mounted read-only: check the disk, then remount it", room)
    if room.free_inodes == 0:
        return Health(Trouble.NO_INODES, f"{root} has no inodes left: delete some of its many small files", room)
    if room.free_bytes == 0:
        return Health(Trouble.FULL, f"{root} is full: delete or unlock footage, or make room otherwise", room)
    return Health(None, "", room)


def _identity(content: bytes) -> str | None:
    try:
        identity = json.loads(content)["uuid"]
    except (ValueError, KeyError, TypeError):
        return None
    return identity if isinstance(identity, str) else None


def room_at(root: Path) -> Room:
    """What the file system that holds `root` says of itself. Raises `OSError`."""
    facts = os.statvfs(root)
    return Room(
        free_bytes=facts.f_bavail * facts.f_frsize,
        total_bytes=facts.f_blocks * facts.f_frsize,
        # btrfs and FAT have no fixed number of inodes and report none at all.
        free_inodes=facts.f_favail if facts.f_files else None,
        read_only=bool(facts.f_flag & os.ST_RDONLY),
    )


def _write_and_delete(path: Path) -> float:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, _PROBE)
        return sync_data(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()
