"""`/api/settings`: what can be changed while the agent runs. Today that is the live picture's size, rate and quality.

Mode and duration are selected by the verbs `mode` and `duration`, as over MQTT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar

from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Profile
from edge_agent.web.guard import Guard
from edge_agent.web.ports import LiveSettings
from edge_agent.web.problem import Problem, bad_request, refused
from edge_agent.web.tokens import Role


@dataclass(frozen=True, slots=True)
class Limits:
    """A whole number from `low` to `high`, a multiple of `step`."""

    low: int
    high: int
    step: int = 1


LIVE: Mapping[str, Limits] = {
    "width": Limits(64, 4608, 2),
    "height": Limits(64, 4608, 2),
    "fps": Limits(1, 120),
    "quality": Limits(1, 100),
}
"""The fields of `live`, with the limits that the configuration has for them, too."""


class Settings(Guard):
    """`GET /api/settings` tells them; `PATCH` changes those that are named, and answers with all."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER, "PATCH": Role.OPERATOR}

    def get(self) -> None:
        self.send_json(_document(self._live().profile))

    async def patch(self) -> None:
        live = self._live()
        refusal = await live.change(replace(live.profile, **_changes(self.request.body)))
        if isinstance(refusal, Refusal):
            raise refused(refusal)
        self.send_json(_document(live.profile))

    def _live(self) -> LiveSettings:
        if self.house.live is None:
            raise Problem(HTTPStatus.NOT_FOUND, "this agent has no settings that can be changed while it runs")
        return self.house.live


def _document(profile: Profile) -> dict[str, Any]:
    return {"v": 1, "live": {name: getattr(profile, name) for name in LIVE}}


def _changes(body: bytes) -> dict[str, int]:
    """The fields of `live` that a PATCH names. Raises `Problem`."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    live = document.get("live") if isinstance(document, dict) else None
    if not isinstance(live, dict) or not live or set(document) - {"v", "live"} or document.get("v", 1) != 1:
        raise bad_request(f'send {{"live": {{...}}}} with some of {", ".join(LIVE)}')
    for name, value in live.items():
        limits = LIVE.get(name)
        if limits is None:
            raise bad_request(f"there is no setting {name[:40]!r}; there are {', '.join(LIVE)}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not limits.low <= value <= limits.high or value % limits.step:
            even = "an even number" if limits.step == 2 else "a number"
            raise bad_request(f"{name} is {even} from {limits.low} to {limits.high}", Code.OUT_OF_RANGE)
    return live
