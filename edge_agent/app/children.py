"""Short-lived children of the media room: pictures and clips are made outside of the agent's process."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

CHILD_PATIENCE_S = 25.0
"""A command that needs a child is answered within 30 s."""


class ChildFailed(Exception):
    """A child could not be started, ended with an error, or not in time. The message is its last line on stderr."""


def media_argv(module: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command line of a program of the media room."""
    return [sys.executable, "-m", f"edge_agent.media.{module}", *arguments]


async def run_child(
    module: str, arguments: Sequence[str], patience_s: float = CHILD_PATIENCE_S, descriptors: Sequence[int] = ()
) -> bytes:
    """Run `edge_agent.media.{module}` and return what it wrote to stdout. Raises `ChildFailed`. Safe to cancel.

    The child inherits `descriptors` under their numbers.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *media_argv(module, arguments), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=descriptors
        )
    except OSError as error:
        raise ChildFailed(f"{module} cannot be started now ({error.strerror or error}): try again later") from error
    try:
        async with asyncio.timeout(patience_s):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise ChildFailed(f"{module} took longer than {patience_s:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = err.decode(errors="replace").strip().splitlines()
        raise ChildFailed(f"{module}: {lines[-1] if lines else f'exit code {process.returncode}'}")
    return out
