"""`GET /api/openapi.json`: the description of the API, made by a child of its own when somebody first asks for it.

Making it takes the schemas of all models and with them 2.5 MB, which the agent would never give back; few are asked.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from edge_agent.web.guard import Guard
from edge_agent.web.problem import Problem
from edge_agent.web.tokens import Role

PATIENCE_S = 20.0
"""A Pi that does nothing else takes 2 s."""


class Description:
    """The document's bytes, made once. Keep one for the whole server."""

    def __init__(self) -> None:
        self._made: bytes | None = None
        self._making = asyncio.Lock()

    async def document(self, version: str) -> bytes:
        """The document for the agent's `version`, the same for all calls. Raises `Problem`. Safe to cancel."""
        async with self._making:
            if self._made is None:
                self._made = await _make(version)
        return self._made


async def _make(version: str) -> bytes:
    program = (sys.executable, "-m", "edge_agent.web.openapi", version)
    later = {"Retry-After": "10"}
    try:
        process = await asyncio.create_subprocess_exec(*program, stdin=DEVNULL, stdout=PIPE)
    except OSError as error:
        told = f"the description cannot be made now: {error.strerror}"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, told, headers=later) from error
    try:
        async with asyncio.timeout(PATIENCE_S):
            made, _ = await process.communicate()
    except TimeoutError as error:
        told = f"the description took longer than {PATIENCE_S:g} s"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, told, headers=later) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the description could not be made; the agent's log says why")
    return made


class OpenApi(Guard):
    """`GET /api/openapi.json`."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def initialize(self, description: Description) -> None:
        self._description = description

    async def get(self) -> None:
        made = await self._description.document(self.house.version)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "private, max-age=60")
        self.finish(made)
