"""`GET /api/verify/{path}`: whether a stored segment is what it should be.

One file at a time, so that whoever looks through many of them sees how far it is, and can stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from edge_agent.core.commands import Refusal
from edge_agent.core.segments import parse_segment_path
from edge_agent.web.guard import Guard
from edge_agent.web.problem import Problem, refused
from edge_agent.web.tokens import Role


class Verify(Guard):
    """Looks at the file's structure, a few per cent of its bytes; `damage` null: it is sound."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    async def get(self, path: str) -> None:
        if parse_segment_path(path) is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such recording")
        found = await self.house.recordings.verify(path)
        if isinstance(found, Refusal):
            raise refused(found)
        self.send_json(
            {
                "v": 1,
                "path": found.path,
                "damage": found.damage,
                "size_bytes": found.size_bytes,
                "frames": found.frames,
            }
        )
