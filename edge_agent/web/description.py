"""`GET /api/openapi.json`: the description of the API, made by a child of its own when somebody first asks for it.

Making it takes the schemas of all models and with them 2.5 MB, which the agent would never give back; few are asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from edge_agent.children import ChildFailed, run_child
from edge_agent.web.guard import Guard
from edge_agent.web.problem import Problem
from edge_agent.web.tokens import Role

PATIENCE_S = 20.0
"""A Pi that does nothing else takes 2 s."""

log = logging.getLogger(__name__)


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
    try:
        return await run_child("web.openapi", [version], PATIENCE_S)
    except ChildFailed as error:
        if error.returncode is None:
            told = f"the description cannot be made now: {error}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, told, headers={"Retry-After": "10"}) from error
        log.error("the description could not be made: %s", error)  # noqa: TRY400 - the error says all
        told = "the description could not be made; the agent's log says why"
        raise Problem(HTTPStatus.INTERNAL_SERVER_ERROR, told) from error


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
