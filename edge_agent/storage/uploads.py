"""What waits to be sent elsewhere. There is no queue: an `.uploaded` mark beside a file says that it was sent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_agent.core.segments import parse_clip_path, uploaded_path

FOLDER = "clips"


@dataclass(frozen=True, slots=True)
class Footage:
    """A segment or a clip; `path` is relative to the archive's root."""

    path: str
    camera: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """All that waits, in numbers, and the first of it in the order of sending: clips, then the oldest segments."""

    count: int
    size_bytes: int
    first: tuple[Footage, ...]


def unmarked_clips(root: Path) -> list[Footage]:
    """The clips without a mark, oldest name first. Raises `OSError`."""
    try:
        with os.scandir(root / FOLDER) as entries:
            files = {entry.name: entry for entry in entries if entry.is_file(follow_symlinks=False)}
    except FileNotFoundError:
        return []
    clips = []
    for name in sorted(files):
        path = f"{FOLDER}/{name}"
        camera = parse_clip_path(path)
        if camera is not None and uploaded_path(PurePosixPath(name)).name not in files:
            clips.append(Footage(path, camera, files[name].stat(follow_symlinks=False).st_size))
    return clips
