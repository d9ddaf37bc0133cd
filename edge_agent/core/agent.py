"""The agent's mind: what is desired, what is actual, and the effects that bring the second to the first.

`Agent.handle` takes one event and the instant it happened and returns what is to be done; `next_deadline` tells when to
call it again without one; `snapshot` is the whole state for the outside. Commands change what is desired
(`conduct.py`), events tell what is actual, and after every event each camera's recorder reconciles the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from edge_agent.core import events as ev
from edge_agent.core.chronicle import Chronicle
from edge_agent.core.commands import Result
from edge_agent.core.conduct import Conduct
from edge_agent.core.effects import Effect, Report, Save, SavedState, StartRun, UpdateSession
from edge_agent.core.ledger import Ledger
from edge_agent.core.model import (
    Camera,
    CameraState,
    DeviceState,
    EventType,
    Mode,
    Now,
    Profile,
    Purpose,
    Run,
    Segment,
    Session,
)
from edge_agent.core.problems import Problems
from edge_agent.core.recorder import Recorder, Want
from edge_agent.core.status import AgentStatus
from edge_agent.core.storage import Storage
from edge_agent.core.timetable import Timetable


@dataclass(frozen=True, slots=True)
class Settings:
    """What the agent is told once: cameras, modes by name, the live profile, and the jitter of its back-offs.

    `jitter` (0 to 1) is drawn once per agent, so that a fleet's cameras don't retry in step.
    """

    cameras: tuple[Camera, ...]
    modes: Mapping[str, Mode]
    live: Profile
    jitter: float = 0.5


class Agent:
    """One device. Not safe for concurrent calls: the driver owns it."""

    def __init__(self, settings: Settings, saved: SavedState, answered: dict[str, Result] | None = None) -> None:
        self.settings = settings
        self.selected_mode = saved.selected_mode
        self.selected_duration_s = saved.selected_duration_s
        self.session: Session | None = None
        self.ledger = Ledger(answered)
        self._live = settings.live
        self.missing: dict[str, str] = {}
        self.leaving = False
        self.recorders = {camera.id: Recorder(camera.id, self._new_run, settings.jitter) for camera in settings.cameras}
        self._next_sequence = saved.next_sequence
        self._saved = saved
        self._viewed: set[str] = set()
        self._chronicle = Chronicle()
        self._problems = Problems()
        self.storage = Storage(self._problems)
        self.ran_out: str | None = None
        self._timetable = Timetable(settings.modes)
        self._conduct = Conduct(self)

    # -- the interface ------------------------------------------------------------------------------------------------

    def handle(self, event: ev.Event, now: Now) -> list[Effect]:
        """Take one event in and return what to do, in order."""
        effects = self._take_in(event, now)
        effects += self._conduct.due(now)
        self._keep_time(now)
        effects += self._reconcile(now)
        effects += self._conduct.settle(now)
        effects += self._reconcile(now)
        effects += self._chronicle.due()
        state = SavedState(self.selected_mode, self.selected_duration_s, self._next_sequence, self.session)
        if state != self._saved and not self.leaving:
            self._saved = state
            effects.append(Save(state))
        return effects

    def next_deadline(self) -> float | None:
        """The monotonic instant at which to call `handle(DeadlinePassed())`, or None."""
        candidates = [recorder.next_deadline() for recorder in self.recorders.values()]
        candidates += [self._conduct.next_deadline(), self._timetable.next_deadline(self.session)]
        return min((at for at in candidates if at is not None), default=None)

    def snapshot(self) -> AgentStatus:
        """The whole state as a value."""
        session = self.session
        started = session.started if session else None
        return AgentStatus(
            state=self.state(),
            mode=session.mode if session else None,
            selected_mode=self.selected_mode,
            duration_s=session.duration_s if session else self.selected_duration_s,
            started_at=started.wall if started else None,
            ends_at=self._timetable.ends_at(session) if session else None,
            label=session.label if session else None,
            cameras={camera: recorder.status(self.missing.get(camera)) for camera, recorder in self.recorders.items()},
            problems=self._problems.listed(),
            last_command=self.ledger.last,
        )

    # -- what is so ---------------------------------------------------------------------------------------------------

    def state(self) -> DeviceState:
        """The device's state, derived from the session and its cameras."""
        if self.session is None or self.leaving:
            return DeviceState.STOPPING if self.unfinished() else DeviceState.IDLE
        mode = self.mode_of(self.session)
        if mode.purpose is Purpose.RECORD and self.storage.problem:
            return DeviceState.STOPPING if self.unfinished() else DeviceState.FAULT
        states = {self.recorders[camera].state for camera in self.session.cameras if self._fits(camera)}
        if CameraState.RUNNING in states:
            return DeviceState.RECORDING if mode.purpose is Purpose.RECORD else DeviceState.STREAMING
        states = {self.recorders[camera].state for camera in self.session.cameras}
        if states & {CameraState.BACKOFF, CameraState.FATAL} and not states & {CameraState.STARTING}:
            return DeviceState.FAULT
        return DeviceState.STARTING

    def unfinished(self) -> bool:
        """Whether some recording is still being stopped or stored."""
        return self._chronicle.unfinished

    def recording(self) -> Session | None:
        """The session, where it is meant to record."""
        session = self.session
        return session if session and self.mode_of(session).purpose is Purpose.RECORD else None

    def mode_of(self, session: Session) -> Mode:
        return self.settings.modes[session.mode]

    def delivers(self, camera: str) -> bool:
        """Whether `camera` runs as the session wants it to."""
        return self._fits(camera) and self.recorders[camera].state is CameraState.RUNNING

    def _fits(self, camera: str) -> bool:
        """Whether `camera` has the run that the session wants; one that is merely watched has not."""
        session, run, want = self.session, self.recorders[camera].run, self._want(camera)
        if session is None or run is None or want is None:
            return False
        return run.mode == want.mode == session.mode and run.profile == want.profile

    # -- what happens -------------------------------------------------------------------------------------------------

    def _take_in(self, event: ev.Event, now: Now) -> list[Effect]:  # noqa: C901, PLR0912 - one arm per event
        match event:
            case ev.Booted():
                return self._boot(event, now)
            case ev.CommandReceived(command):
                return self._conduct.take(command, now)
            case ev.FirstFrame(camera, run_id, at):
                return self._first_frame(camera, run_id, at, now)
            case ev.BytesSeen(camera, run_id):
                return self._bytes_seen(camera, run_id, now)
            case ev.RunEnded():
                return self._run_ended(event, now)
            case ev.RunClosed(run_id):
                self._chronicle.closed(run_id)
            case ev.SegmentOpened(camera, run_id, path):
                if recorder := self._owner(camera, run_id):
                    recorder.segment = path
            case ev.SegmentStored(segment):
                return [Report(EventType.SEGMENT_STORED, _segment_fields(segment))]
            case ev.FootageVerified(camera, run_id, until):
                if recorder := self._owner(camera, run_id):
                    recorder.verified_until = until
            case ev.LiveWanted(camera, wanted):
                (self._viewed.add if wanted else self._viewed.discard)(camera)
            case ev.LiveProfileChosen(profile):
                self._live = profile
            case ev.CamerasFound(missing):
                self._cameras_found(missing, now)
            case ev.StorageChanged(problem, message):
                return self.storage.change(problem, message, now)
            case ev.StorageStalled(message, code):
                self._stalled(code, message, now)
            case ev.FrameRate(camera, run_id, fps):
                if recorder := self._owner(camera, run_id):
                    return recorder.measured(fps)
            case ev.ProblemChanged(code, message):
                self._problems.set(code, "", message, now)
            case ev.ClockStepped(step_s):
                return [Report(EventType.CLOCK_STEPPED, {"step_s": round(step_s, 3)})]
            case ev.JobDone():
                return self._conduct.job_done(event, now)
            case ev.StopRequested():
                self.leaving = True
                return self._conduct.leave(now)
            case ev.DeadlinePassed():
                pass
            case _:
                assert_never(event)
        return []

    def _boot(self, event: ev.Booted, now: Now) -> list[Effect]:
        session = event.session
        for record in event.adopted:
            recorder = self.recorders.get(record.run.camera)
            if recorder is None or recorder.run is not None:
                continue  # a camera that is configured no more: the driver stops what nobody adopted
            recorder.adopt(record.run, now)
            self._chronicle.opened(record.run.run_id)
            if session and session.id == record.session.id and session.started is None:
                session = replace(session, started=record.session.started)  # it died before it could save that
        if session and session.mode in self.settings.modes and set(session.cameras) <= set(self.recorders):
            self.session = session
            self._chronicle.went_on(session)
        effects: list[Effect] = [Report(EventType.AGENT_STARTED, {"adopted": len(event.adopted)})]
        if self.session is None and event.autostart:
            self.begin(self.settings.modes[self.selected_mode], self.selected_duration_s, None)
        return effects

    def _owner(self, camera: str, run_id: str) -> Recorder | None:
        recorder = self.recorders.get(camera)
        return recorder if recorder and recorder.run and recorder.run.run_id == run_id else None

    def _first_frame(self, camera: str, run_id: str, at: Now, now: Now) -> list[Effect]:
        recorder = self._owner(camera, run_id)
        if recorder is None:
            return []
        recorder.first_frame(now)
        session = self.session
        if session is None or not self._fits(camera):
            return []
        self._timetable.first_frame(camera, at)
        if session.started is not None:
            return []
        self.session = replace(session, started=at)
        return [UpdateSession(self.session)]

    def _bytes_seen(self, camera: str, run_id: str, now: Now) -> list[Effect]:
        recorder = self._owner(camera, run_id)
        if recorder is None:
            return []
        recovered = recorder.bytes_seen(now)
        effects: list[Effect] = [Report(EventType.CAMERA_RECOVERED, {"camera": camera})] if recovered else []
        session = self.session
        if session is None:
            return effects
        if session.started is None and self.delivers(camera):
            session = self.session = replace(session, started=now)
            effects.append(UpdateSession(session))
        if self.recording() and self.delivers(camera):
            effects += self._chronicle.began(session)
        if self.delivers(camera):
            self._timetable.delivering(session, now, everyone=all(self.delivers(one) for one in session.cameras))
        return effects

    def _run_ended(self, event: ev.RunEnded, now: Now) -> list[Effect]:
        recorder = self._owner(event.camera, event.run_id)
        if recorder is None:
            return []
        told = recorder.cause
        recorder.ended(event.cause, event.message, now)
        if recorder.cause == told:
            return []
        fault = {"camera": event.camera, "code": recorder.cause, "message": recorder.error}
        return [Report(EventType.CAMERA_FAULT, fault)]

    def _cameras_found(self, missing: dict[str, str], now: Now) -> None:
        self.missing = missing
        for camera in self.recorders:
            reason = missing.get(camera)
            self._problems.set("camera_missing", camera, reason and f"{camera}: {reason}", now)

    def _stalled(self, code: str, message: str | None, now: Now) -> None:
        self.storage.stall(code, message, now)
        for recorder in self.recorders.values():
            recorder.disk_stalled(now, stalled=self.storage.stalled)

    # -- what is desired ----------------------------------------------------------------------------------------------

    def begin(self, mode: Mode, duration_s: float, label: str | None) -> Session:
        """Desire a session of `mode`; its cameras start with a clean record."""
        self.session = Session(f"s{self._next_sequence}", mode.name, mode.cameras, 0, duration_s, label)
        self._timetable.clear()
        for camera in mode.cameras:
            self.recorders[camera].new_session()
        return self.session

    def switch(self, session: Session) -> None:
        """Change the running session: its mode, duration or step."""
        self.session = session
        self._timetable.clear()

    def end(self, reason: str) -> None:
        """Desire nothing any more. That it has ended is told when all of it is stored."""
        session, self.session = self.session, None
        self._timetable.clear()
        if session is not None:
            self._chronicle.ended(session, reason)

    def _keep_time(self, now: Now) -> None:
        session = self.session
        if session is None:
            return
        mode = self.mode_of(session)
        if self._timetable.is_over(session, now):
            self.ran_out = session.id
            self.end("duration")
        elif self._timetable.step_is_over(now) and session.step + 1 < len(mode.steps):
            self.switch(replace(session, step=session.step + 1))
        elif self._timetable.step_is_over(now):
            if mode.comparison:
                self._chronicle.compare(mode)
            self.end("complete")

    def _want(self, camera: str) -> Want | None:
        """What this camera should do: recording outranks streaming, and streaming is what viewers get anyway."""
        if self.leaving:
            return None
        session = self.session
        if session and camera in session.cameras:
            mode = self.mode_of(session)
            if mode.purpose is Purpose.LIVE:
                return Want(Purpose.LIVE, self._live, mode.name, None)
            if not self.storage.problem:
                return Want(Purpose.RECORD, mode.steps[session.step].profile, mode.name, session)
        if camera in self._viewed and camera not in self.missing:
            return Want(Purpose.LIVE, self._live, "stream", None)
        return None

    def _reconcile(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for camera, recorder in self.recorders.items():
            for effect in recorder.reconcile(self._want(camera), now):
                if isinstance(effect, StartRun) and effect.run.purpose is Purpose.RECORD:
                    self._chronicle.opened(effect.run.run_id)
                effects.append(effect)
            self._problems.tell_camera(recorder, now)
        return effects

    def _new_run(self, camera: str, want: Want, now: Now) -> Run:
        sequence = self._next_sequence
        self._next_sequence += 1
        return Run(
            run_id=f"{now.wall:%Y%m%dT%H%M%SZ}-{sequence:06d}-{camera}",
            sequence=sequence,
            camera=camera,
            purpose=want.purpose,
            profile=want.profile,
            mode=want.mode,
        )


def _segment_fields(segment: Segment) -> dict[str, object]:
    return {
        "camera": segment.camera,
        "path": segment.path,
        "started_at": segment.started_at,
        "duration_s": segment.duration_s,
        "size_bytes": segment.size_bytes,
        "locked": segment.locked,
    }
