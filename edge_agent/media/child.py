"""How every program of this room begins and ends: niced, bound to its parent's life, one line when it fails."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import av

from edge_agent.durable import sync_folder

NICENESS = 10
"""Far enough behind the recorder (0) that a busy machine drops pictures of viewers, not of recordings."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

STDOUT = "-"
"""The output that is no file."""


class Failed(Exception):
    """The work could not be done, for the reason in the message."""


def run(work: Callable[[], None]) -> NoReturn:
    """Do `work` as a child and exit.

    The kernel ends this process when the *thread* that started it ends: start children from a thread that lives as
    long as the agent. An interrupt from the terminal is left to the parent, which ends its children itself.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    try:
        work()
    except BrokenPipeError:
        # Nobody wants the rest. Python's own flush at exit would complain about the same pipe.
        os._exit(0)
    except (Failed, OSError, av.error.FFmpegError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; what is there at the end is synced and takes the name, whole or not at all.

    A process that is killed leaves `.NAME.PID.part` behind.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def deliver(data: bytes, output: str) -> None:
    """Write `data` to stdout or to a file, which appears whole or not at all."""
    if output == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with whole_file(Path(output)) as part:
        part.write_bytes(data)
