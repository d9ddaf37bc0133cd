"""The stored snapshots, as a look into their folders finds them; there is no index of them."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge_agent.core.segments import parse_snapshot_path
from edge_agent.storage.errors import storage_errors

FOLDER = "snapshots"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One picture. `path` is relative to the archive's root; `camera` is the folder: an id, or `comparison`."""

    path: str
    camera: str
    taken_at: datetime
    size_bytes: int


def newest_snapshots(root: Path, limit: int) -> tuple[Snapshot, ...]:
    """Up to `limit` pictures, newest first. Links and files of other names are passed over. Raises `StorageError`."""
    with storage_errors("read", root / FOLDER):
        return tuple(heapq.nlargest(limit, _all(root), key=lambda one: (one.taken_at, one.path)))


def _all(root: Path) -> Iterator[Snapshot]:
    try:
        with os.scandir(root / FOLDER) as folders:
            cameras = [entry for entry in folders if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for camera in cameras:
        with os.scandir(camera.path) as entries:
            for entry in entries:
                path = f"{FOLDER}/{camera.name}/{entry.name}"
                parsed = parse_snapshot_path(path)
                if parsed is not None and entry.is_file(follow_symlinks=False):
                    name, taken_at = parsed
                    yield Snapshot(path, name, taken_at, entry.stat(follow_symlinks=False).st_size)
