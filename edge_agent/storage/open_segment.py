"""Making the segments that a recorder is writing survive a power cut, and measuring how much of them plays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_agent.core.model import Now
from edge_agent.core.segments import start_offset_s
from edge_agent.durable import sync_folder
from edge_agent.storage.fmp4 import Walk, walk
from edge_agent.storage.tree import open_regular, reader_of


@dataclass(frozen=True, slots=True)
class Synced:
    """What is safe on disk.

    `verified_s` counts seconds of footage since the run's first frame that are synced and playable, across segments; it
    never shrinks. `frames` have been seen in whole fragments so far, which last `media_s` by their own time stamps.
    """

    verified_s: float
    frames: int = 0
    media_s: float = 0.0


class Spooled(Protocol):
    """What is needed to know of a segment file in the spool; `spool.SpooledSegment` is one."""

    @property
    def index(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def list_start_s(self) -> float | None: ...
    @property
    def seen(self) -> Now | None: ...


@dataclass(slots=True)
class _Watched:
    """A segment file under our own descriptor. It stays open: a write error is told once to each open descriptor.

    Because it is told but once, a `suspect` file, whose sync has failed, never counts as verified again.
    """

    descriptor: int
    offset_s: float
    found: Walk
    synced_bytes: int = -1
    suspect: bool = False


class OpenSegments:
    """The uncommitted segments of one run that were written since the last sync."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._watched: dict[int, _Watched] = {}
        self._verified_s = 0.0
        self._newest = -1
        self._frames = 0
        self._media_s = 0.0

    def sync(self, segments: Sequence[Spooled], first_frame: Now | None, last_look: Now | None) -> Synced:
        """Sync every segment from the newest of the last sync on, oldest first, and walk what was synced.

        `segments` are oldest first. `first_frame` None means that the run's first frame is not dated yet: then offsets
        come from the segment list alone. Raises `OSError`.
        """
        due = [segment for segment in segments if segment.index >= self._newest]
        if any(segment.index not in self._watched for segment in due):
            sync_folder(self._directory)
        for segment in due:
            watched = self._watched.get(segment.index) or self._watch(segment, first_frame)
            if watched is None:
                continue
            _sync(watched)
            self._verify(watched, first_frame, last_look)
            self._newest = segment.index
        for index in [index for index in self._watched if index < self._newest]:
            done = self._watched.pop(index)
            _close(done.descriptor)
            self._frames += done.found.samples
            self._media_s += done.found.duration_s
        found = [watched.found for watched in self._watched.values()]
        frames = self._frames + sum(one.samples for one in found)
        media_s = self._media_s + sum(one.duration_s for one in found)
        return Synced(self._verified_s, frames, media_s)

    def close(self) -> None:
        """Close all descriptors."""
        while self._watched:
            _close(self._watched.popitem()[1].descriptor)

    def _watch(self, segment: Spooled, first_frame: Now | None) -> _Watched | None:
        try:
            descriptor = open_regular(segment.path)
        except FileNotFoundError:
            return None  # committed since the look
        previous = self._watched.get(segment.index - 1)
        offset_s = start_offset_s(
            segment.list_start_s,
            previous.offset_s + previous.found.duration_s if previous else (0.0 if segment.index == 0 else None),
            _since(first_frame, segment.seen),
        )
        self._watched[segment.index] = watched = _Watched(descriptor, offset_s, Walk())
        return watched

    def _verify(self, watched: _Watched, first_frame: Now | None, last_look: Now | None) -> None:
        if watched.suspect or not watched.found.playable:
            return
        until_s = watched.offset_s + watched.found.duration_s
        looked_s = _since(first_frame, last_look)
        if looked_s is not None:
            until_s = min(until_s, looked_s)  # a stepped clock stretches the stream, never the time that passed
        self._verified_s = max(self._verified_s, until_s)


def _close(descriptor: int) -> None:
    """Close for good: Linux frees a descriptor even where a dead disk answers the close with an error."""
    with suppress(OSError):
        os.close(descriptor)


def _sync(watched: _Watched) -> None:
    """Sync and walk what was there before the sync began, if something was added."""
    size = os.fstat(watched.descriptor).st_size
    if size == watched.synced_bytes:
        return
    try:
        os.fdatasync(watched.descriptor)
    except OSError:
        watched.suspect = True
        raise
    watched.synced_bytes = size
    watched.found = walk(reader_of(watched.descriptor), size, watched.found)


def _since(first_frame: Now | None, at: Now | None) -> float | None:
    return at.mono_s - first_frame.mono_s if first_frame and at else None
