"""What each command changes, and when it is settled.

A command is refused at once where nothing can come of it, settled at once where it only changes what is selected, and
else taken on with a goal (`goals.py`): cameras running, everything stopped, or an outside job done.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, assert_never

from edge_agent.core import events as ev
from edge_agent.core.commands import (
    Announce,
    Clip,
    Command,
    Lock,
    Ping,
    Refusal,
    Restart,
    SelectDuration,
    SelectMode,
    Snapshot,
    Start,
    Stop,
    StopStream,
    Stream,
    Unlock,
)
from edge_agent.core.effects import Announce as AnnounceEffect
from edge_agent.core.effects import DoJob, Effect, Report, RestartAgent, UpdateSession
from edge_agent.core.goals import (
    JOB_PATIENCE_S,
    START_PATIENCE_S,
    STOP_PATIENCE_S,
    Goal,
    Job,
    Running,
    Stopped,
    outcome,
)
from edge_agent.core.model import MAX_DURATION_S, CameraState, Code, EventType, Mode, Now, Purpose, Session
from edge_agent.core.modes import find_mode, unknown

if TYPE_CHECKING:
    from edge_agent.core.agent import Agent

MAX_AHEAD_S = 24 * 3600.0
LATE_S = 5.0
"""A common start instant may be so far in the past and is then carried out at once: what a slow link costs."""


class Conduct:
    """The part of the agent's mind that deals with commands; shares its state and is called by it only."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._goals: dict[str, Goal] = {}
        self._scheduled: list[tuple[float, int, Command]] = []
        self._tickets = 0

    # -- taking commands in -------------------------------------------------------------------------------------------

    def take(self, command: Command, now: Now) -> list[Effect]:
        """Answer, obey or schedule one command."""
        repeated = self._agent.ledger.repeated(command)
        if repeated is not None:
            return list(repeated)
        if command.refusal:
            return self._reject(command, command.refusal.code, command.refusal.message, now)
        if command.expires_at is not None and now.wall >= command.expires_at:
            late_s = (now.wall - command.expires_at).total_seconds()
            return self._reject(
                command, Code.EXPIRED, f"expired {late_s:.0f} s ago: send it again, or with a longer ttl", now
            )
        if command.at is not None:
            return self._schedule(command, now)
        return self._obey(command, now)

    def _schedule(self, command: Command, now: Now) -> list[Effect]:
        assert command.at is not None  # noqa: S101 - narrowed by the caller
        ahead_s = (command.at - now.wall).total_seconds()
        if not -LATE_S <= ahead_s <= MAX_AHEAD_S:
            return self._reject(
                command,
                Code.OUT_OF_RANGE,
                f"at {_told(command.at)} is {ahead_s:.0f} s from now on this device's clock: "
                f"give an instant from now to {MAX_AHEAD_S / 3600:.0f} h ahead",
                now,
            )
        if ahead_s <= 0:
            return self._obey(command, now)
        self._tickets += 1
        heapq.heappush(self._scheduled, (now.mono_s + ahead_s, self._tickets, command))
        accepted = self._agent.ledger.take_on(
            command, now, ahead_s + JOB_PATIENCE_S, f"waiting for {_told(command.at)}"
        )
        return [accepted]

    def due(self, now: Now) -> list[Effect]:
        """Obey the scheduled commands whose instant has come."""
        effects: list[Effect] = []
        while self._scheduled and self._scheduled[0][0] <= now.mono_s:
            _, _, command = heapq.heappop(self._scheduled)
            effects += self._obey(command, now)
        return effects

    def next_deadline(self) -> float | None:
        candidates = [self._agent.ledger.next_deadline()]
        if self._scheduled:
            candidates.append(self._scheduled[0][0])
        return min((at for at in candidates if at is not None), default=None)

    def _obey(self, command: Command, now: Now) -> list[Effect]:  # noqa: C901, PLR0912 - one arm per verb
        body = command.body
        match body:
            case Start():
                return self._start(command, body, now)
            case Stream():
                return self._stream(command, now)
            case Stop():
                return self._stop(command, now)
            case StopStream():
                if session := self._agent.recording():
                    return self._already(command, session, now)
                return self._stop(command, now)
            case SelectMode(mode):
                return self._select_mode(command, mode, now)
            case SelectDuration(duration_s):
                return self._select_duration(command, duration_s, now)
            case Snapshot() | Clip() | Lock() | Unlock():
                return self._job(command, body, now)
            case Ping():
                return self._done(command, f"{self._agent.state()}", now)
            case Announce():
                return [AnnounceEffect(), *self._done(command, "published everything again", now)]
            case Restart():
                return [*self._done(command, "restarting; a running recording goes on", now), RestartAgent()]
            case None:
                return self._reject(command, Code.MALFORMED, "nothing to do: the command has no body", now)
            case _:
                assert_never(body)

    # -- start, stop, mode, duration ----------------------------------------------------------------------------------

    def _start(self, command: Command, body: Start, now: Now) -> list[Effect]:
        if session := self._agent.recording():
            return self._already(command, session, now)
        agent = self._agent
        found = find_mode(body, agent.selected_mode, agent.settings.modes, agent.recorders)
        if isinstance(found, Refusal):
            return self._reject(command, found.code, found.message, now)
        if refused := self._cannot_run(found):
            return self._reject(command, *refused, now)
        return self._begin(command, found, body, now)

    def _stream(self, command: Command, now: Now) -> list[Effect]:
        if session := self._agent.recording():
            return self._already(command, session, now)
        return self._start(command, Start(mode="stream", duration_s=0.0), now)

    def _cannot_run(self, mode: Mode) -> tuple[Code, str] | None:
        for camera in mode.cameras:
            if reason := self._agent.missing.get(camera):
                return Code.CAMERA_MISSING, f"{mode.name} needs {camera}: {reason}"
        if mode.purpose is Purpose.RECORD and self._agent.storage.problem:
            return self._agent.storage.code, self._agent.storage.message
        return None

    def _begin(self, command: Command, mode: Mode, body: Start, now: Now) -> list[Effect]:
        agent = self._agent
        duration_s = agent.selected_duration_s if body.duration_s is None else body.duration_s
        session = agent.begin(mode, duration_s, body.label)
        self._goals[command.id] = Running(session.id, mode.name, None)
        return self._take_on(command, now, START_PATIENCE_S, f"starting {mode.name}")

    def _stop(self, command: Command, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        scheduled, self._scheduled = self._scheduled, []
        for _, _, waiting in sorted(scheduled):
            effects += self._settle(waiting, Code.INTERRUPTED, "a stop came before its instant", now)
        if self._agent.session is None and not self._agent.unfinished():
            return [*effects, *self._done(command, "nothing was recording", now)]
        self._agent.end("command")
        self._goals[command.id] = Stopped()
        return [*effects, *self._take_on(command, now, STOP_PATIENCE_S, "stopping")]

    def _select_mode(self, command: Command, name: str, now: Now) -> list[Effect]:
        agent = self._agent
        mode = agent.settings.modes.get(name)
        if mode is None:
            return self._reject(command, Code.UNKNOWN_MODE, unknown("mode", name, agent.settings.modes), now)
        session = agent.recording()
        if session is None or session.mode == name:
            agent.selected_mode = name
            return self._done(command, f"selected {name}", now)
        if mode.purpose is not Purpose.RECORD:
            return self._already(command, session, now)
        if refused := self._cannot_run(mode):
            return self._reject(command, *refused, now)
        agent.selected_mode = name
        agent.switch(replace(session, mode=name, cameras=mode.cameras, step=0))
        self._goals[command.id] = Running(session.id, name, session)
        return self._take_on(command, now, STOP_PATIENCE_S, f"switching to {name}")

    def _select_duration(self, command: Command, duration_s: float, now: Now) -> list[Effect]:
        if not 0 <= duration_s <= MAX_DURATION_S:
            return self._reject(
                command, Code.OUT_OF_RANGE, f"duration {duration_s:g} s: give 0 (until stopped) to 7 days", now
            )
        agent = self._agent
        agent.selected_duration_s = duration_s
        said = f"{duration_s:g} s" if duration_s else "until stopped"
        session = agent.recording()
        if session is None:
            return self._done(command, f"selected {said}", now)
        agent.session = replace(session, duration_s=duration_s)
        return [UpdateSession(agent.session), *self._done(command, f"recording {said}, from its start", now)]

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _job(self, command: Command, body: Snapshot | Clip | Lock | Unlock, now: Now) -> list[Effect]:
        camera = body.camera if isinstance(body, Snapshot | Clip) else None
        if camera is not None and camera not in self._agent.recorders:
            return self._reject(command, Code.UNKNOWN_CAMERA, unknown("camera", camera, self._agent.recorders), now)
        if isinstance(body, Snapshot) and (reason := self._none_there([camera] if camera else None)):
            return self._reject(command, Code.CAMERA_MISSING, reason, now)
        self._goals[command.id] = Job()
        return [*self._take_on(command, now, JOB_PATIENCE_S, f"working on {command.verb}"), DoJob(command)]

    def _none_there(self, cameras: Collection[str] | None) -> str | None:
        """Why none of `cameras` (None: all) can give a picture, if so; one that runs is there whatever is listed."""
        agent = self._agent
        reasons: dict[str, list[str]] = {}
        for camera in agent.recorders if cameras is None else cameras:
            reason = agent.missing.get(camera)
            if reason is None or agent.recorders[camera].state is CameraState.RUNNING:
                return None
            reasons.setdefault(reason, []).append(camera)
        return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())

    def job_done(self, event: ev.JobDone, now: Now) -> list[Effect]:
        entry = self._agent.ledger.find(event.command_id)
        if entry is None:
            return []  # it took so long that it was answered with `timeout`
        return self._settle(entry.command, event.code, event.message, now, event.data)

    def leave(self, now: Now) -> list[Effect]:
        """The agent is to end: answer what it will not see through. A `stop` it does."""
        told = "the agent is being stopped: look at the status when it is back"
        self._scheduled.clear()
        effects: list[Effect] = []
        for entry in self._agent.ledger.open:
            if not isinstance(self._goals.get(entry.command.id), Stopped):
                effects += self._settle(entry.command, Code.INTERRUPTED, told, now)
        return effects

    # -- settling -----------------------------------------------------------------------------------------------------

    def settle(self, now: Now) -> list[Effect]:
        """Answer the commands whose goal is reached, out of reach, or out of time."""
        effects: list[Effect] = []
        for entry in self._agent.ledger.open:
            goal = self._goals.get(entry.command.id)
            late = now.mono_s >= entry.deadline_mono_s
            reached = outcome(goal, self._agent, late=late) if goal else None
            if reached is None:
                continue
            if reached.gives_up:
                self._give_up(reached.back_to)
            effects += self._settle(entry.command, reached.code, reached.message, now, reached.data)
        return effects

    def _give_up(self, back_to: Session | None) -> None:
        if back_to is None:
            self._agent.end("failed")
            return
        self._agent.selected_mode = back_to.mode
        self._agent.switch(back_to)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _take_on(self, command: Command, now: Now, patience_s: float, message: str) -> list[Effect]:
        if entry := self._agent.ledger.find(command.id):  # it was scheduled, and accepted then
            entry.deadline_mono_s = now.mono_s + patience_s
            return []
        return [self._agent.ledger.take_on(command, now, patience_s, message)]

    def _done(self, command: Command, message: str, now: Now) -> list[Effect]:
        return self._settle(command, Code.OK, message, now)

    def _already(self, command: Command, session: Session, now: Now) -> list[Effect]:
        told = f"recording {session.mode} already, and it goes on: stop it first, or send mode or duration to change it"
        return self._reject(command, Code.ALREADY_RECORDING, told, now)

    def _reject(self, command: Command, code: Code, message: str, now: Now) -> list[Effect]:
        fields = {"id": command.id, "verb": command.verb, "code": code, "message": message, "by": command.by}
        return [*self._settle(command, code, message, now), Report(EventType.COMMAND_REFUSED, fields)]

    def _settle(
        self, command: Command, code: Code, message: str, now: Now, data: dict[str, object] | None = None
    ) -> list[Effect]:
        if command.refusal is None:  # else it has no goal; another command with its id may
            self._goals.pop(command.id, None)
        return list(self._agent.ledger.settle(command, code, message, now, data))


def _told(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%FT%T.%f}"[:-3] + "Z"
