"""Short-lived children: programs of this package that do something once, outside of the agent's process.

What takes memory or libraries that the agent shall not have, or may hang or crash, is done there: pictures and clips,
the description of the API.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

CHILD_PATIENCE_S = 25.0
"""A command that needs a child is answered within 30 s."""


class ChildFailed(Exception):
    """A child could not be started, ended with an error, or not in time. The message is its last line on stderr.

    `returncode` is that of a child which ended by itself, None where it may be the machine's trouble.
    """

    def __init__(self, message: str, returncode: int | None = None) -> None:
        super().__init__(message)
        self.returncode = returncode


def child_argv(program: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command line of a module of this package, such as `media.clip`."""
    return [sys.executable, "-m", f"edge_agent.{program}", *arguments]


async def run_child(
    program: str, arguments: Sequence[str], patience_s: float = CHILD_PATIENCE_S, descriptors: Sequence[int] = ()
) -> bytes:
    """Run a program of this package and return what it wrote to stdout. Raises `ChildFailed`. Safe to cancel.

    The child inherits `descriptors` under their numbers.
    """
    name = program.rpartition(".")[2]
    try:
        process = await asyncio.create_subprocess_exec(
            *child_argv(program, arguments), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=descriptors
        )
    except OSError as error:
        raise ChildFailed(f"{name} cannot be started now ({error.strerror or error}): try again later") from error
    try:
        async with asyncio.timeout(patience_s):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise ChildFailed(f"{name} took longer than {patience_s:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = err.decode(errors="replace").strip().splitlines()
        told = f"{name}: {lines[-1] if lines else f'exit code {process.returncode}'}"
        raise ChildFailed(told, process.returncode)
    return out
