"""The catalog: the archive's tree as its cache shows it, corrected wherever the tree turns out to differ."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from edge_agent.core.model import Segment
from edge_agent.core.segments import lock_path
from edge_agent.durable import make_folder
from edge_agent.storage.commit import Sealed
from edge_agent.storage.index import Difference, Index
from edge_agent.storage.scan import TreeScan, read_lock, read_segments

T = TypeVar("T")

log = logging.getLogger(__name__)

INDEX_NAME = "archive-index.sqlite"
_GROUP = 5000
UNKNOWN_INODE = -1
"""In place of a lock's inode: the next scan reads the lock again, or sees that it has gone."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a scan of the tree found.

    `segments` counts all, `entered` and `gone` the differences from the cache. `strangers` have a segment's name but
    are not ours, `unreadable` are folders that could not be read, with the reason.
    """

    segments: int
    entered: int
    gone: int
    strangers: tuple[str, ...]
    unreadable: tuple[str, ...]


class Catalog:
    """The cache and the means to rebuild it.

    A cache that fails is replaced: by a new file, or where the state directory cannot be written by one in memory.
    """

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root
        self._path = state_dir / INDEX_NAME
        self._index = self._opened()

    def close(self) -> None:
        self._index.close()

    def ask(self, question: Callable[[Index], T]) -> T:
        """Put a question, or a change, to the cache; if the cache is broken, to a new one built from the tree."""
        try:
            return question(self._index)
        except sqlite3.Error as error:
            log.warning("the archive's cache fails and is built anew: %s", error)
        self._index.close()
        self._discard()
        self._index = self._opened()
        try:
            self._scan()
            return question(self._index)
        except sqlite3.Error as error:
            log.warning("the archive's cache is kept in memory: %s", error)
        # The state directory is full: it takes a new file, and nothing into it.
        self._index.close()
        self._discard()
        self._index = Index(None)
        self._scan()
        return question(self._index)

    def reconcile(self) -> Reconciled:
        """Make the cache agree with the tree: stats every segment, opens those that the cache does not know."""
        return self.ask(lambda _: self._scan())

    def enter(self, path: str, sealed: Sealed) -> Segment:
        """Note a segment that was stored under `path`, as locked as an earlier try left it."""
        labels = read_lock(self._root, lock_path(PurePosixPath(path)))

        def put(index: Index) -> Segment:
            index.put(path, sealed.metadata, sealed.size_bytes, sealed.mtime_ns)
            index.set_lock(path, labels, UNKNOWN_INODE if labels else 0)
            segment = index.find(path)
            assert segment is not None  # noqa: S101 (was put just now)
            return segment

        return self.ask(put)

    def find(self, path: str) -> Segment | None:
        """The segment at this path, if it is still on the disk."""
        segment = self.ask(lambda index: index.find(path))
        return segment if segment and self.still_there(path) else None

    def still_there(self, path: str) -> bool:
        """Whether a segment's file exists. One that was deleted by hand is forgotten; not all when a volume is gone."""
        file = self._root / path
        try:
            os.lstat(file)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            return True  # the disk does not say: whoever wants more of it will hear why
        else:
            return True
        if os.path.isdir(file.parent):  # noqa: PTH112 - the one of pathlib raises what a dead disk answers
            self.ask(lambda index: index.remove(path))
        return False

    def _scan(self) -> Reconciled:
        scan, index = TreeScan(self._root), self._index
        difference = index.compare(scan.segments(), scan.each_lock())
        strangers = self._apply(difference)
        for path, inode in index.locks_to_read():
            labels = read_lock(self._root, lock_path(PurePosixPath(path))) if inode else ()
            index.set_lock(path, labels, _inode(labels, inode))
        index.extras.reconcile(scan.extras())
        index.agree_uploaded(scan.uploaded)
        return Reconciled(
            segments=index.count(),
            entered=len(difference.changed) - len(strangers),
            gone=len(difference.gone),
            strangers=tuple(strangers),
            unreadable=tuple(scan.unreadable),
        )

    def _apply(self, difference: Difference) -> list[str]:
        """Bring the differences into the cache; returns the paths that are not ours."""
        strangers: list[str] = []
        for start in range(0, len(difference.gone), _GROUP):
            with self._index.group():
                for path in difference.gone[start : start + _GROUP]:
                    self._index.remove(path)
        for start in range(0, len(difference.changed), _GROUP):
            with self._index.group():
                for path, sealed in read_segments(self._root, difference.changed[start : start + _GROUP]):
                    if sealed is None:
                        strangers.append(path)
                        self._index.remove(path)
                    else:
                        self._index.put(path, sealed.metadata, sealed.size_bytes, sealed.mtime_ns)
        return strangers

    def _opened(self) -> Index:
        try:
            make_folder(self._path.parent)
            return Index(self._path)
        except (sqlite3.Error, OSError):
            self._discard()
        try:
            return Index(self._path)
        except sqlite3.Error:
            return Index(None)

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink()


def _inode(labels: tuple[str, ...], inode: int) -> int:
    """What to remember a lock by; one without a label may be one that could not be read."""
    if not labels:
        return 0
    return UNKNOWN_INODE if labels == ("",) else inode
