"""Commands, status and info over HTTP: the same values and documents as over MQTT, through the same door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, ClassVar

from edge_agent.core.commands import Command, Origin, Result, Verb
from edge_agent.core.flood import TOO_FAST
from edge_agent.core.model import Code, ResultStatus
from edge_agent.web.guard import Guard
from edge_agent.web.ports import House
from edge_agent.web.problem import STATUS_OF, Problem
from edge_agent.web.tokens import Role
from edge_agent.wire import decode_command, result_document, status_document

ANSWER_S = 32.0
"""Every command is answered within 30 s; a little more, so that the agent's own `timeout` comes first."""
LONGEST_WAIT_S = 30.0
"""Up to how far ahead a common start instant is waited for; beyond that the answer is `accepted`."""
REFUSED_WITHIN_S = 1.0


class Commands(Guard):
    """`POST /api/blackbox/{verb}`: any verb; the answer is the final result document."""

    needs: ClassVar[Mapping[str, Role]] = {"POST": Role.OPERATOR}

    async def post(self, verb: str) -> None:
        await self.obey(verb)

    async def obey(self, verb: str) -> None:
        """Give the command in the request's body and answer with its result."""
        house = self.house
        now = house.clock()
        if not self.doors.flood.admit(now.mono_s):
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, TOO_FAST, headers={"Retry-After": "1"})
        command = decode_command(verb, self.request.body, received=now, origin=Origin.HTTP, new_id=house.new_id)
        if command.by is None:
            command = replace(command, by=self.identity.name)
        result = await _answer(house, command)
        status = HTTPStatus.ACCEPTED if result.status is ResultStatus.ACCEPTED else STATUS_OF[result.code]
        self.send_json(result_document(house.device, result), status)


class Lock(Commands):
    """`POST /api/recordings/lock`: the verb under its second name."""

    async def post(self) -> None:  # type: ignore[override]  # the verb is in the path
        await self.obey(Verb.LOCK)


class Unlock(Commands):
    """`POST /api/recordings/unlock`."""

    async def post(self) -> None:  # type: ignore[override]  # the verb is in the path
        await self.obey(Verb.UNLOCK)


async def _answer(house: House, command: Command) -> Result:
    """The command's final answer, or `accepted` for one that begins long after a request could wait for it."""
    ahead_s = 0.0 if command.at is None else (command.at - command.received.wall).total_seconds()
    far = ahead_s > LONGEST_WAIT_S
    try:
        return await house.ask(command, REFUSED_WITHIN_S if far else max(0.0, ahead_s) + ANSWER_S)
    except TimeoutError:
        now = house.clock()
        return Result(
            id=command.id,
            verb=command.verb,
            status=ResultStatus.ACCEPTED if far else ResultStatus.FAILED,
            code=Code.OK if far else Code.TIMEOUT,
            message=f"begins in {ahead_s:.0f} s" if far else "no answer in time; the status tells what became of it",
            at=now.wall,
            took_ms=round((now.mono_s - command.received.mono_s) * 1000),
            warnings=command.warnings,
        )


class Status(Guard):
    """`GET /api/blackbox/status`: the status document with `elapsed_s` and `remaining_s`."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def get(self) -> None:
        house = self.house
        status = house.status.value
        if status is None:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "the agent is starting; try again", headers={"Retry-After": "1"}
            )
        now = house.clock()
        document = status_document(house.device, house.boot_id, now.wall, status)
        elapsed = None if status.started_at is None else (now.wall - status.started_at).total_seconds()
        remaining = None if status.ends_at is None else (status.ends_at - now.wall).total_seconds()
        document["elapsed_s"] = None if elapsed is None else round(max(0.0, elapsed), 1)
        document["remaining_s"] = None if remaining is None else round(max(0.0, remaining), 1)
        self.send_json(document)


class SystemInfo(Guard):
    """`GET /api/system/info`: the info and telemetry documents together, each null until there is one."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.VIEWER}

    def get(self) -> None:
        document: dict[str, Any] = {"v": 1, "info": self.house.info.value, "telemetry": self.house.telemetry.value}
        self.send_json(document)


class Health(Guard):
    """`GET /healthz`: whether the agent answers, for whoever asks. Says nothing else."""

    needs: ClassVar[Mapping[str, Role]] = {"GET": Role.ANYONE}

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")


class Nothing(Guard):
    """Every path that is none of the agent's. Strangers do not learn which ones are."""

    needs: ClassVar[Mapping[str, Role]] = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Role.VIEWER)

    def get(self) -> None:
        raise Problem(HTTPStatus.NOT_FOUND, f"there is nothing at {self.request.path[:100]!r}; / is the page")

    post = put = patch = delete = get
