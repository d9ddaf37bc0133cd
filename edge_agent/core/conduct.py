"""What each command changes, and when it is settled.

A command is refused at once where nothing can come of it, settled at once where it only changes what is selected, and
else taken on with a goal: cameras running, everything stopped, or an outside job done. Goals are looked at after every
event; a patience that is shorter than the contract's answer times ends those that are not reached.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass, replace
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
from edge_agent.core.model import MAX_DURATION_S, CameraState, Code, EventType, Mode, Now, Purpose, Session
from edge_agent.core.modes import find_mode, unknown

if TYPE_CHECKING:
    from edge_agent.core.agent import Agent

START_PATIENCE_S = 13.0
"""A start answers within 15 s; the camera gets 10 s of silence and the rest goes to the way there and back."""
STOP_PATIENCE_S = 18.0
JOB_PATIENCE_S = 28.0
MAX_AHEAD_S = 24 * 3600.0
LATE_S = 5.0
"""A common start instant may be so far in the past and is then carried out at once: what a slow link costs."""

_TELLING: dict[ev.Cause | None, Code] = {
    ev.Cause.CAMERA_MISSING: Code.CAMERA_MISSING,
    ev.Cause.CAMERA_BUSY: Code.CAMERA_BUSY,
    ev.Cause.CODEC_MISSING: Code.INTERNAL,
    ev.Cause.BAD_OPTION: Code.INTERNAL,
    ev.Cause.LEGACY_STACK: Code.CAMERA_MISSING,
    ev.Cause.SPAWN_FAILED: Code.INTERNAL,
    ev.Cause.DISK_FULL: Code.DISK_FULL,
}
"""Causes that waiting will not mend, with the code that a start fails with."""
_STORAGE_CODES = {"disk_full": Code.DISK_FULL, "read_only": Code.READ_ONLY}


@dataclass(frozen=True, slots=True)
class _Running:
    """Goal: every camera of the session `session_id` in `mode` delivers. `before` is restored when none does."""

    session_id: str
    mode: str
    before: Session | None


class _Stopped:
    """Goal: no recording is on and everything recorded is stored."""


class _Job:
    """Goal: the outside has told that the job is done."""


class Conduct:
    """The part of the agent's mind that deals with commands; shares its state and is called by it only."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._goals: dict[str, _Running | _Stopped | _Job] = {}
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
        if mode.purpose is Purpose.RECORD and (problem := self._agent.storage.problem):
            return _STORAGE_CODES.get(problem, Code.INTERNAL), self._agent.storage.message
        return None

    def _begin(self, command: Command, mode: Mode, body: Start, now: Now) -> list[Effect]:
        agent = self._agent
        duration_s = agent.selected_duration_s if body.duration_s is None else body.duration_s
        session = agent.begin(mode, duration_s, body.label)
        self._goals[command.id] = _Running(session.id, mode.name, None)
        return self._take_on(command, now, START_PATIENCE_S, f"starting {mode.name}")

    def _stop(self, command: Command, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        scheduled, self._scheduled = self._scheduled, []
        for _, _, waiting in sorted(scheduled):
            effects += self._settle(waiting, Code.INTERRUPTED, "a stop came before its instant", now)
        if self._agent.session is None and not self._agent.unfinished():
            return [*effects, *self._done(command, "nothing was recording", now)]
        self._agent.end("command")
        self._goals[command.id] = _Stopped()
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
        self._goals[command.id] = _Running(session.id, name, session)
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
        self._goals[command.id] = _Job()
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
            if not isinstance(self._goals.get(entry.command.id), _Stopped):
                effects += self._settle(entry.command, Code.INTERRUPTED, told, now)
        return effects

    # -- settling -----------------------------------------------------------------------------------------------------

    def settle(self, now: Now) -> list[Effect]:
        """Answer the commands whose goal is reached, out of reach, or out of time."""
        effects: list[Effect] = []
        for entry in self._agent.ledger.open:
            goal = self._goals.get(entry.command.id)
            late = now.mono_s >= entry.deadline_mono_s
            match goal:
                case _Running():
                    effects += self._look_at_running(entry.command, goal, now, late=late)
                case _Stopped():
                    effects += self._look_at_stopped(entry.command, now, late=late)
                case _Job() if late:
                    effects += self._settle(
                        entry.command, Code.TIMEOUT, f"no answer within {JOB_PATIENCE_S:.0f} s: try again", now
                    )
                case _:
                    pass
        return effects

    def _look_at_running(self, command: Command, goal: _Running, now: Now, *, late: bool) -> list[Effect]:
        agent = self._agent
        session = agent.session
        if session is None and agent.ran_out == goal.session_id:
            return self._settle(command, Code.OK, f"{goal.mode} ran for its whole duration", now)
        if session is None or session.id != goal.session_id or session.mode != goal.mode:
            return self._settle(command, Code.INTERRUPTED, "stopped or changed before every camera ran", now)
        running = [camera for camera in session.cameras if agent.delivers(camera)]
        waiting = [camera for camera in session.cameras if camera not in running]
        verb = "recording" if agent.recording() else "streaming"
        if not waiting:
            return self._settle(command, Code.OK, f"{verb} {session.mode} on {', '.join(running)}", now)
        if agent.recording() and (problem := agent.storage.problem):
            code = _STORAGE_CODES.get(problem, Code.INTERNAL)
            return self._fail(command, goal, session, code, agent.storage.message, now)
        hopeless = [camera for camera in waiting if self._hopeless(camera)]
        if not late and len(hopeless) < len(waiting):
            return []
        why = "; ".join(f"{camera}: {agent.recorders[camera].error or 'no frames yet'}" for camera in waiting)
        if running:
            told = f"{verb} on {', '.join(running)} only, still trying the rest. {why}"
            return self._settle(command, Code.PARTIAL, told, now, {"running": running, "waiting": waiting})
        code = _TELLING.get(agent.recorders[waiting[0]].cause, Code.NO_FRAMES)
        return self._fail(command, goal, session, code, why, now)

    def _hopeless(self, camera: str) -> bool:
        recorder = self._agent.recorders[camera]
        return recorder.cause in _TELLING and recorder.state in (CameraState.BACKOFF, CameraState.FATAL)

    def _fail(
        self, command: Command, goal: _Running, session: Session, code: Code, message: str, now: Now
    ) -> list[Effect]:
        """Nothing runs: go back to the mode that was on before, or to idle from a start."""
        before = goal.before
        if before is None:
            self._agent.end("failed")
            return self._settle(command, code, message, now)
        self._agent.selected_mode = before.mode
        self._agent.switch(replace(session, mode=before.mode, cameras=before.cameras, step=before.step))
        return self._settle(command, code, f"{message}. Back to {before.mode}", now)

    def _look_at_stopped(self, command: Command, now: Now, *, late: bool) -> list[Effect]:
        agent = self._agent
        if agent.session is not None:
            return self._settle(command, Code.OK, "stopped, and something was started since", now)
        busy = [
            recorder.camera
            for recorder in agent.recorders.values()
            if recorder.run is not None and recorder.run.purpose is Purpose.RECORD
        ]
        if not busy and not agent.unfinished():
            return self._settle(command, Code.OK, "stopped, all files are finished", now)
        if late:
            told = f"{', '.join(busy) or 'storing the footage'} did not finish within {STOP_PATIENCE_S:.0f} s"
            return self._settle(command, Code.TIMEOUT, f"{told}; it goes on, look at the status", now)
        return []

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
