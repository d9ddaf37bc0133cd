"""What can be wrong with a disk, told apart by what a person has to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePath


class Trouble(StrEnum):
    """Why footage cannot be stored or read."""

    FULL = "full"
    NO_INODES = "no_inodes"
    READ_ONLY = "read_only"
    DENIED = "denied"
    IO_ERROR = "io_error"
    VOLUME_MISSING = "volume_missing"
    OTHER_VOLUME = "other_volume"
    IN_USE = "in_use"
    OWN_LIMIT = "own_limit"
    """Not the disk's: this process has no descriptor or no memory left."""


_TROUBLES = {
    errno.ENOSPC: Trouble.FULL,
    errno.EDQUOT: Trouble.FULL,
    errno.EROFS: Trouble.READ_ONLY,
    errno.EACCES: Trouble.DENIED,
    errno.EPERM: Trouble.DENIED,
    errno.ENOENT: Trouble.VOLUME_MISSING,
    errno.EMFILE: Trouble.OWN_LIMIT,
    errno.ENFILE: Trouble.OWN_LIMIT,
    errno.ENOMEM: Trouble.OWN_LIMIT,
}


def trouble_of(error: OSError) -> Trouble:
    """The kind of trouble that an operating system's error means; everything unheard of counts as a broken disk."""
    return _TROUBLES.get(error.errno or 0, Trouble.IO_ERROR)


class StorageError(Exception):
    """The disk did not do what was asked of it. What lies on it obeys the invariants all the same; try again later."""

    def __init__(self, action: str, path: PurePath | str, cause: OSError) -> None:
        super().__init__(f"cannot {action} {path}: {cause.strerror or cause}")
        self.action = action
        self.path = str(path)
        self.errno = cause.errno
        self.trouble = trouble_of(cause)


@contextmanager
def storage_errors(action: str, path: PurePath | str) -> Iterator[None]:
    """Turn an `OSError` from the block into a `StorageError` that names what was tried on which path."""
    try:
        yield
    except OSError as error:
        raise StorageError(action, path, error) from error
