"""Drives the core: an event in, its effects out, and a call when the next deadline has come.

Everything happens on the event loop and in one call: there is no queue between an event and its effects, so that no
event overtakes another. Doors (MQTT, HTTP) come in through `submit` and `ask`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import assert_never

from edge_agent import ports
from edge_agent.core import effects as fx
from edge_agent.core.agent import Agent
from edge_agent.core.commands import Command, Result
from edge_agent.core.events import CommandReceived, DeadlinePassed, Event
from edge_agent.core.status import AgentStatus
from edge_agent.latest import Latest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hands:
    """The outside that effects are carried out on."""

    runs: ports.Runs
    outlet: ports.Outlet
    memory: ports.Memory
    jobs: ports.Jobs
    process: ports.Process


class Driver:
    """Owns the `Agent`. `status` always holds its newest snapshot and tells its readers of each change."""

    def __init__(self, agent: Agent, clock: ports.Clock) -> None:
        self.status: Latest[AgentStatus] = Latest()
        self._agent = agent
        self.clock = clock
        self._hands: Hands | None = None
        self._events: deque[Event] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._asked: dict[int, tuple[Command, asyncio.Future[Result]]] = {}

    def start(self, hands: Hands) -> None:
        """Give the driver its hands; from now on events are taken. Call once, on the loop."""
        self._hands = hands

    def submit(self, command: Command) -> None:
        """Take a command in; its answers go to the outlet."""
        self.post(CommandReceived(command))

    async def ask(self, command: Command, timeout_s: float) -> Result:
        """Take a command in and wait for its final answer. Raises TimeoutError when none came in time."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._asked[id(command)] = (command, future)
        try:
            self.submit(command)
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._asked.pop(id(command), None)

    def post(self, event: Event) -> None:
        """Handle one event and carry out what follows. An event posted meanwhile is handled after it."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._busy = False
        self._arm()

    def stop(self) -> None:
        """Take no more deadlines; call when the loop is about to end."""
        if self._timer:
            self._timer.cancel()

    def _handle(self, event: Event) -> None:
        now = self.clock.now()
        for effect in self._agent.handle(event, now):
            self._carry_out(effect)
        status = self._agent.snapshot()
        if status != self.status.value:
            self.status.put(status)

    def _carry_out(self, effect: fx.Effect) -> None:  # noqa: C901 - one arm per effect
        hands = self._hands
        if hands is None:
            raise RuntimeError("the driver has no hands yet: call start() before posting events")
        match effect:
            case fx.StartRun(run, session):
                hands.runs.start(run, session)
            case fx.StopRun(run_id):
                hands.runs.stop(run_id)
            case fx.UpdateSession(session):
                hands.runs.update(session)
            case fx.Answer(command, result):
                self._answer(hands, command, result)
            case fx.Report(event_type, fields):
                hands.outlet.report(event_type, self.clock.now().wall, fields)
            case fx.Save(state):
                hands.memory.save(state)
            case fx.DoJob(command):
                hands.jobs.do(command)
            case fx.Compare(cameras, run_ids):
                hands.jobs.compare(cameras, run_ids)
            case fx.Announce():
                hands.outlet.announce()
            case fx.RestartAgent():
                hands.process.restart()
            case _:
                assert_never(effect)

    def _answer(self, hands: Hands, command: Command, result: Result) -> None:
        result = hands.outlet.answer(command, result)
        log.info("command verb=%s id=%s status=%s code=%s", result.verb, result.id, result.status, result.code)
        if result.final and (asked := self._asked.get(id(command))) and not asked[1].done():
            asked[1].set_result(result)

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        deadline = self._agent.next_deadline()
        if deadline is not None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, deadline - self.clock.now().mono_s)
            self._timer = loop.call_later(wait_s, self.post, DeadlinePassed())
