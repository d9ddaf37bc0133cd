"""Opening and linking files without ever following a link out of the tree.

What lies at a name is judged by the descriptor that was opened, not by an earlier look. A fifo does not block, a device
is not touched.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edge_agent.storage.fmp4 import Read

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def open_regular(path: Path | str, folder: int | None = None, flags: int = os.O_RDONLY) -> int:
    """Open a regular file, relative to the descriptor `folder` where given. Raises `OSError` for anything else."""
    descriptor = os.open(path, flags | _FILE, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))


@contextmanager
def opened(path: Path | str, folder: int | None = None, flags: int = os.O_RDONLY) -> Iterator[int]:
    """`open_regular` for the length of a block."""
    descriptor = open_regular(path, folder, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_folder(root: Path, folder: PurePosixPath, *, create: bool = False) -> Iterator[int]:
    """The descriptor of a folder below the root; no part of the way down may be a link.

    With `create`, missing folders are made so that they survive a power cut. Raises `OSError`.
    """
    descriptor = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for part in folder.parts:
            below = _enter(descriptor, part, create=create)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def reader_of(descriptor: int) -> Read:
    """A `Read` of an open file; it must not outlive the descriptor."""
    return lambda offset, length: os.pread(descriptor, length, offset)


def move_without_replacing(source: Path, folder: int, name: str) -> bool:
    """Give a file another name unless that is taken; False when it is. Neither name survives a power cut before fsync.

    Two names of one file exist for an instant. Where the file system has no hard links (FAT) it is a look and a rename:
    nobody but this thread makes names that could come between. Raises `OSError`.
    """
    try:
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if exists(name, folder):
            return False
        os.rename(source, name, dst_dir_fd=folder)
    return True


def exists(name: str, folder: int) -> bool:
    """Whether the name is taken, by whatever kind of thing. Raises `OSError`."""
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def is_regular(name: str, folder: int) -> bool:
    """Whether a regular file has the name. Raises `OSError`."""
    try:
        return stat.S_ISREG(os.lstat(name, dir_fd=folder).st_mode)
    except FileNotFoundError:
        return False


def unlink_if_there(path: Path | str, folder: int | None = None) -> None:
    """Unlink; fine when the name is not there. Raises `OSError`."""
    try:
        os.unlink(path, dir_fd=folder)
    except FileNotFoundError:
        return


def _enter(descriptor: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=descriptor)
    except FileNotFoundError:
        if not create:
            raise
    os.mkdir(part, dir_fd=descriptor)
    os.fsync(descriptor)
    return os.open(part, _FOLDER, dir_fd=descriptor)
