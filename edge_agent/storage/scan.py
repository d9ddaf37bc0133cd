"""Reading the archive's directory tree: what lies where, without opening any segment that is known already."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path, PurePosixPath

from edge_agent.core.model import Profile
from edge_agent.core.segments import (
    is_extra_path,
    lock_path,
    parse_segment_path,
    parse_snapshot_path,
    segment_path,
    uploaded_path,
)
from edge_agent.storage.commit import Sealed
from edge_agent.storage.locks import MAX_LOCK_BYTES, lock_labels
from edge_agent.storage.metadata import read_box
from edge_agent.storage.tree import opened, opened_folder, reader_of

_SIZE = re.compile(r"\d+x\d+", re.ASCII)


class TreeScan:
    """One pass over the tree. Consume `segments` first: it fills the rest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks: list[tuple[str, int]] = []
        self.uploaded: list[str] = []
        """Paths of the segments that have an `.uploaded` mark."""
        self.unreadable: list[str] = []
        """Folders that the disk would not show, with the reason."""

    def segments(self) -> Iterator[tuple[str, int, int]]:
        """Path, size and mtime in nanoseconds of every regular file with a segment's name."""
        for size in self._folders(PurePosixPath()):
            if _SIZE.fullmatch(size) is None:
                continue
            for camera in self._folders(PurePosixPath(size)):
                for path, entry in self._entries_in(PurePosixPath(size, camera)):
                    yield from self._entry(path, entry)

    def each_lock(self) -> Iterator[tuple[str, int]]:
        """Path of each segment that has a `.lock` file, with that file's inode; read when first asked."""
        yield from self._locks

    def extras(self) -> Iterator[tuple[str, datetime, int, bool, bool]]:
        """Path, instant of its making, size, and whether it is locked and uploaded, of every snapshot and clip."""
        for folder in ("clips", *(f"snapshots/{camera}" for camera in self._folders(PurePosixPath("snapshots")))):
            found: dict[str, os.stat_result] = {}
            beside: set[str] = set()
            for path, entry in self._entries_in(PurePosixPath(folder)):
                if path.endswith((".lock", ".uploaded")):
                    beside.add(path)
                elif is_extra_path(path) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # deleted since the scan began
                        found[path] = entry.stat(follow_symlinks=False)
            for path, facts in found.items():
                name = PurePosixPath(path)
                locked, uploaded = (str(mark(name)) in beside for mark in (lock_path, uploaded_path))
                yield path, made_at(path, facts), facts.st_size, locked, uploaded

    def _entries_in(self, folder: PurePosixPath) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """The entries of a folder that may not be there, each with its path below the root."""
        try:
            with opened_folder(self._root, folder) as descriptor, os.scandir(descriptor) as entries:
                for entry in entries:
                    yield f"{folder}/{entry.name}", entry
        except FileNotFoundError:
            return
        except OSError as error:
            self.unreadable.append(f"{folder}: {error.strerror}")

    def _folders(self, parent: PurePosixPath) -> list[str]:
        try:
            with opened_folder(self._root, parent) as descriptor, os.scandir(descriptor) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unreadable.append(f"{parent}: {error.strerror}")
            return []

    def _entry(self, path: str, entry: os.DirEntry[str]) -> Iterator[tuple[str, int, int]]:
        stem, _, kind = path.rpartition(".")
        if kind not in {"mp4", "lock", "uploaded"} or parse_segment_path(f"{stem}.mp4") is None:
            return
        if not entry.is_file(follow_symlinks=False):
            return
        if kind == "lock":
            self._locks.append((f"{stem}.mp4", entry.inode()))
            return
        if kind == "uploaded":
            self.uploaded.append(f"{stem}.mp4")
            return
        try:
            facts = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return  # deleted by hand since the scan began
        yield path, facts.st_size, facts.st_mtime_ns


def made_at(path: str, facts: os.stat_result) -> datetime:
    """When a snapshot was taken or a clip was cut: a clip's name tells what it shows."""
    snapshot = parse_snapshot_path(path)
    return snapshot[1] if snapshot else datetime.fromtimestamp(max(0, facts.st_mtime), UTC)


def read_segments(root: Path, paths: Iterable[str]) -> Iterator[tuple[str, Sealed | None]]:
    """What stored segments say of themselves; None for one that is not ours or cannot be read.

    A copy under another name is not ours either: the name has to follow from the description. `paths` of one folder
    should stand together.
    """
    for folder, group in groupby((PurePosixPath(path) for path in paths), lambda path: path.parent):
        with ExitStack() as stack:
            try:
                descriptor = stack.enter_context(opened_folder(root, folder))
            except OSError:
                yield from ((str(path), None) for path in group)
                continue
            for path in group:
                yield str(path), _read_segment(descriptor, path)


def _read_segment(folder: int, path: PurePosixPath) -> Sealed | None:
    try:
        with opened(path.name, folder) as descriptor:
            facts = os.fstat(descriptor)
            metadata = read_box(reader_of(descriptor), facts.st_size)
    except OSError:
        return None
    name = parse_segment_path(path)
    if metadata is None or name is None:
        return None
    profile = Profile(metadata.width, metadata.height, metadata.fps)
    if segment_path(metadata.camera, profile, metadata.started_at, name.serial) != path:
        return None
    return Sealed(metadata, facts.st_size, facts.st_mtime_ns)


def read_lock(root: Path, path: PurePosixPath) -> tuple[str, ...]:
    """The labels in a `.lock` file; none when there is no such file, an empty one when it has none or can't be read."""
    try:
        with opened_folder(root, path.parent) as folder, opened(path.name, folder) as descriptor:
            return lock_labels(os.read(descriptor, MAX_LOCK_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError:
        return ("",)
