"""Goals: what a command that was taken on waits for, and what comes of it.

They are looked at after every event, on the state that the agent is in then. A patience that is shorter than the
contract's answer times ends what is not reached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from edge_agent.core import events as ev
from edge_agent.core.model import CameraState, Code, Purpose, Session

if TYPE_CHECKING:
    from edge_agent.core.agent import Agent

START_PATIENCE_S = 13.0
"""A start answers within 15 s; the camera gets 10 s of silence and the rest goes to the way there and back."""
STOP_PATIENCE_S = 18.0
JOB_PATIENCE_S = 28.0

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


@dataclass(frozen=True, slots=True)
class Running:
    """Every camera of the session `session_id` in `mode` delivers. `before` is restored when none does."""

    session_id: str
    mode: str
    before: Session | None


class Stopped:
    """No recording is on and everything recorded is stored."""


class Job:
    """The outside has told that the job is done."""


Goal = Running | Stopped | Job


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the command is answered.

    `gives_up`: no camera of the session runs, so that it ends, or goes on as `back_to`.
    """

    code: Code
    message: str
    data: dict[str, object] | None = None
    gives_up: bool = False
    back_to: Session | None = None


def outcome(goal: Goal, agent: Agent, *, late: bool) -> Outcome | None:
    """What has come of a goal; None while it is open. `late`: its patience is over."""
    match goal:
        case Running():
            return _of_running(goal, agent, late=late)
        case Stopped():
            return _of_stopped(agent, late=late)
        case Job():
            return Outcome(Code.TIMEOUT, f"no answer within {JOB_PATIENCE_S:.0f} s: try again") if late else None
        case _:
            assert_never(goal)


def _of_running(goal: Running, agent: Agent, *, late: bool) -> Outcome | None:
    session = agent.session
    if session is None and agent.ran_out == goal.session_id:
        return Outcome(Code.OK, f"{goal.mode} ran for its whole duration")
    if session is None or session.id != goal.session_id or session.mode != goal.mode:
        return Outcome(Code.INTERRUPTED, "stopped or changed before every camera ran")
    running = [camera for camera in session.cameras if agent.delivers(camera)]
    waiting = [camera for camera in session.cameras if camera not in running]
    verb = "recording" if agent.recording() else "streaming"
    if not waiting:
        return Outcome(Code.OK, f"{verb} {session.mode} on {', '.join(running)}")
    if agent.recording() and agent.storage.problem:
        return _given_up(goal, session, agent.storage.code, agent.storage.message)
    hopeless = [camera for camera in waiting if _is_hopeless(camera, agent)]
    if not late and len(hopeless) < len(waiting):
        return None
    why = "; ".join(f"{camera}: {agent.recorders[camera].error or 'no frames yet'}" for camera in waiting)
    if running:
        told = f"{verb} on {', '.join(running)} only, still trying the rest. {why}"
        return Outcome(Code.PARTIAL, told, {"running": running, "waiting": waiting})
    code = _TELLING.get(agent.recorders[waiting[0]].cause, Code.NO_FRAMES)
    return _given_up(goal, session, code, why)


def _is_hopeless(camera: str, agent: Agent) -> bool:
    recorder = agent.recorders[camera]
    return recorder.cause in _TELLING and recorder.state in (CameraState.BACKOFF, CameraState.FATAL)


def _given_up(goal: Running, session: Session, code: Code, message: str) -> Outcome:
    """Nothing runs: back to the mode that was on before, or to idle from a start."""
    before = goal.before
    if before is None:
        return Outcome(code, message, gives_up=True)
    back_to = replace(session, mode=before.mode, cameras=before.cameras, step=before.step)
    return Outcome(code, f"{message}. Back to {before.mode}", gives_up=True, back_to=back_to)


def _of_stopped(agent: Agent, *, late: bool) -> Outcome | None:
    if agent.session is not None:
        return Outcome(Code.OK, "stopped, and something was started since")
    busy = [
        recorder.camera
        for recorder in agent.recorders.values()
        if recorder.run is not None and recorder.run.purpose is Purpose.RECORD
    ]
    if not busy and not agent.unfinished():
        return Outcome(Code.OK, "stopped, all files are finished")
    if late:
        told = f"{', '.join(busy) or 'storing the footage'} did not finish within {STOP_PATIENCE_S:.0f} s"
        return Outcome(Code.TIMEOUT, f"{told}; it goes on, look at the status")
    return None
