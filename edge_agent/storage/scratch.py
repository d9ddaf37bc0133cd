"""Where snapshots, clips and thumbnails are written before they get their names, so that no torn file ever has one."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from edge_agent.durable import make_folder, write_all
from edge_agent.storage.commit import place
from edge_agent.storage.tree import opened, opened_folder, unlink_if_there

_NAME = re.compile(r"[0-9a-f]{32}\.[a-z0-9]{1,8}", re.ASCII)


class Scratch:
    """A folder on the same volume as the archive. Methods raise `OSError`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder

    def new_path(self, kind: str) -> Path:
        """A free path for a file of this kind (its name's ending), for anybody to write to."""
        make_folder(self._folder)
        return self._folder / f"{uuid.uuid4().hex}.{kind}"

    def write(self, content: bytes, kind: str) -> Path:
        """A new file with this content, not synced; none is left when the disk is full."""
        path = self.new_path(kind)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            write_all(descriptor, content)
        except OSError:
            unlink_if_there(path)
            raise
        finally:
            os.close(descriptor)
        return path

    def keep(self, path: Path, name: Callable[[int], PurePosixPath]) -> PurePosixPath:
        """Sync a finished file and give it the first free of its names, or delete it; the path below the root."""
        try:
            with opened(path) as descriptor:
                os.fsync(descriptor)
            return place(self._root, path, name)
        except OSError:
            unlink_if_there(path)
            raise

    def replace(self, path: Path, name: PurePosixPath) -> None:
        """Give a finished file its name, in place of what has it now. Neither is synced: it can be made again."""
        try:
            with opened_folder(self._root, name.parent) as folder:
                os.rename(path, name.name, dst_dir_fd=folder)
        except OSError:
            unlink_if_there(path)
            raise

    def clear(self) -> None:
        """Delete what a former agent left."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                unlink_if_there(path)
