"""`GET /api/snapshots`: the pictures that were taken, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code
from edge_agent.web.guard import Guard
from edge_agent.web.problem import Problem, bad_request, refused
from edge_agent.web.tokens import Role
from edge_agent.wire.values import format_instant

USUAL, MOST = 48, 500


class Snapshots(Guard):
    """`GET /api/snapshots?limit=`."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    async def get(self) -> None:
        if self.house.album is None:
            raise Problem(HTTPStatus.NOT_FOUND, "this agent keeps no list of its snapshots")
        text = self.get_query_argument("limit", str(USUAL))
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST):
            raise bad_request(f"limit {text[:40]!r} is not a number from 1 to {MOST}", Code.OUT_OF_RANGE)
        found = await self.house.album.snapshots(int(text))
        if isinstance(found, Refusal):
            raise refused(found)
        self.send_json(
            {
                "v": 1,
                "snapshots": [
                    {
                        "path": one.path,
                        "url": f"/recordings/{quote(one.path)}",
                        "camera": one.camera,
                        "taken_at": format_instant(one.taken_at),
                        "size_bytes": one.size_bytes,
                    }
                    for one in found
                ],
            }
        )
