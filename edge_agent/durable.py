"""The few ways in which something is made to survive a power cut.

A file's bytes survive after fsync of the file, its name after fsync of the folder that holds it, and so on upwards.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a small file: afterwards, and after a power cut at any instant, it holds the old or the new content.

    Goes by way of `{name}.tmp` beside it. The folder has to exist. `mode` is that of a new file. Raises `OSError`.
    """
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content` at the descriptor's offset; a short write is what a disk that fills up gives."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents so that they survive; one that exists is fine. Raises `OSError`."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_data(descriptor: int) -> float:
    """Make a file's bytes survive, and say how many milliseconds that took. Raises `OSError`."""
    began_s = time.perf_counter()
    os.fdatasync(descriptor)
    return (time.perf_counter() - began_s) * 1000
