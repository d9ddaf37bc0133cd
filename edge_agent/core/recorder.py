"""One camera: who has it, whether it delivers, and what is done about trouble.

Everything that changes a camera's state is in this file, and the state changes by `TRANSITIONS` only. The recorder
compares what is wanted with what is so after every event (`reconcile`), so that "start while stopping" or "died while
starting" need no code of their own. It does not know about modes, commands or files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from edge_agent.core.effects import Effect, Report, StartRun, StopRun
from edge_agent.core.events import Cause
from edge_agent.core.model import CameraState, EventType, Now, Profile, Purpose, Run, Session
from edge_agent.core.status import CameraStatus

SILENCE_S = 10.0
"""No bytes for so long means the camera hangs: several fragments of 1 s, and longer than any healthy start."""
FAILURE_WINDOW_S = 60.0
FAILURES_TO_GIVE_UP = 5
RETRY_WHEN_FATAL_S = 60.0
BACKOFF_MAX_S = 60.0
NOTHING_CAME = (
    f"The camera delivered nothing for {SILENCE_S:.0f} s, and its program was ended: check its ribbon cable with the "
    "power off, and whether the processor is overloaded (telemetry)."
)
LOW_FRAME_RATE = "low_frame_rate"
LOW_SHARE, WELL_SHARE = 0.6, 0.8
"""A camera that delivers less than the first share of its frames is named, until it delivers the second one again."""
CLOCK_STEPS_FORGIVEN = 5
"""Deaths by a clock step within `FAILURE_WINDOW_S` that are restarted at once; more of them back off like any other."""


class Signal(StrEnum):
    """What can happen to a camera, as far as its state is concerned."""

    START = "start"
    BYTES = "bytes"
    STOP = "stop"
    ENDED = "ended"
    FAILED = "failed"
    GAVE_UP = "gave up"
    RELEASE = "release"


_S = CameraState
TRANSITIONS: dict[tuple[CameraState, Signal], CameraState] = {
    (_S.STOPPED, Signal.START): _S.STARTING,
    (_S.STARTING, Signal.BYTES): _S.RUNNING,
    (_S.STARTING, Signal.STOP): _S.STOPPING,
    (_S.STARTING, Signal.FAILED): _S.BACKOFF,
    (_S.STARTING, Signal.GAVE_UP): _S.FATAL,
    (_S.RUNNING, Signal.BYTES): _S.RUNNING,
    (_S.RUNNING, Signal.STOP): _S.STOPPING,
    (_S.RUNNING, Signal.FAILED): _S.BACKOFF,
    (_S.RUNNING, Signal.GAVE_UP): _S.FATAL,
    (_S.STOPPING, Signal.BYTES): _S.STOPPING,
    (_S.STOPPING, Signal.ENDED): _S.STOPPED,
    (_S.STOPPING, Signal.FAILED): _S.BACKOFF,
    (_S.STOPPING, Signal.GAVE_UP): _S.FATAL,
    (_S.BACKOFF, Signal.START): _S.STARTING,
    (_S.BACKOFF, Signal.RELEASE): _S.STOPPED,
    (_S.FATAL, Signal.START): _S.STARTING,
    (_S.FATAL, Signal.RELEASE): _S.STOPPED,
}


@dataclass(frozen=True, slots=True)
class Want:
    """What a camera should do now: record or show, with which profile, on behalf of which mode and session."""

    purpose: Purpose
    profile: Profile
    mode: str
    session: Session | None


class Recorder:
    """The state of one camera; owned and called by `Agent` only.

    `new_run` makes the next `Run` for this camera; it is called once per start.
    """

    def __init__(self, camera: str, new_run: Callable[[str, Want, Now], Run], jitter: float) -> None:
        self.camera = camera
        self.state = CameraState.STOPPED
        self.run: Run | None = None
        self.segment: str | None = None
        self.verified_until: datetime | None = None
        self.restarts = 0
        self.cause: Cause | None = None
        self.error: str | None = None
        self.gave_up = False
        self.silent = False
        self.slow: str | None = None
        self._stalled = False
        self._new_run = new_run
        self._jitter = jitter
        self._retry_mono_s = 0.0
        self._evidence_mono_s = 0.0
        self._failures: deque[float] = deque(maxlen=FAILURES_TO_GIVE_UP)
        self._clock_steps: deque[float] = deque(maxlen=CLOCK_STEPS_FORGIVEN + 1)

    # -- what happens -------------------------------------------------------------------------------------------------

    def adopt(self, run: Run, now: Now) -> None:
        """Take over a process that an earlier agent started; it is taken to run until it falls silent."""
        self.run = run
        self._signal(Signal.START)
        self._signal(Signal.BYTES)
        self._evidence_mono_s = now.mono_s

    def first_frame(self, now: Now) -> None:
        self._evidence_mono_s = now.mono_s

    def bytes_seen(self, now: Now) -> bool:
        """Note evidence of life. True when this is a recovery from trouble that had been told."""
        self._evidence_mono_s = now.mono_s
        self._signal(Signal.BYTES)
        recovered = self.error is not None and self.state is CameraState.RUNNING
        if recovered:
            self.cause = self.error = None
            self.gave_up = False
        return recovered

    def disk_stalled(self, now: Now, *, stalled: bool) -> None:
        """Bear with a silent recording while the disk does not answer; afterwards its patience begins anew."""
        self._stalled = stalled
        self._evidence_mono_s = now.mono_s

    def measured(self, fps: float) -> list[Effect]:
        """Compare what the camera delivers with what it was asked for. Less is told, and changes nothing."""
        assert self.run is not None  # noqa: S101 - it is this run that was measured
        asked_fps = self.run.profile.fps
        if self.slow is None and fps < LOW_SHARE * asked_fps:
            self.slow = (
                f"{self.camera} delivers {fps:.0f} of {asked_fps} frames a second: look whether the processor is hot, "
                "throttled or busy (telemetry), or choose a smaller picture"
            )
            fault = {"camera": self.camera, "code": LOW_FRAME_RATE, "message": self.slow}
            return [Report(EventType.CAMERA_FAULT, fault)]
        if self.slow is not None and fps >= WELL_SHARE * asked_fps:
            self.slow = None
            return [Report(EventType.CAMERA_RECOVERED, {"camera": self.camera})]
        return []

    def ended(self, cause: Cause, message: str, now: Now) -> None:
        """The process has gone. Where that was a fault, `self.cause` and `self.error` name it from now on."""
        asked = self.state is CameraState.STOPPING and not self.silent
        was_running = self.state is CameraState.RUNNING
        silent, self.silent = self.silent, False
        self.run = self.segment = self.slow = None
        if asked:
            self._signal(Signal.ENDED)
            return
        self.restarts += 1
        # How a silent program ended is the agent's own doing, and tells nobody what to look for.
        unexplained = silent and cause in (Cause.KILLED, Cause.STOPPED, Cause.UNKNOWN)
        self.cause, self.error = (Cause.NO_FRAMES, NOTHING_CAME) if unexplained else (cause, message)
        if cause is Cause.CLOCK_STEP and self._forgive_clock_step(now):
            self._retry_mono_s = now.mono_s
            self._signal(Signal.FAILED)
            return
        self._failures.append(now.mono_s)
        crowded = len(self._failures) == FAILURES_TO_GIVE_UP and now.mono_s - self._failures[0] <= FAILURE_WINDOW_S
        self.gave_up = self.gave_up or crowded
        self._signal(Signal.GAVE_UP if self.gave_up else Signal.FAILED)
        self._retry_mono_s = now.mono_s + self._delay_s(now, was_running=was_running)

    def _forgive_clock_step(self, now: Now) -> bool:
        self._clock_steps.append(now.mono_s)
        recent = [at for at in self._clock_steps if now.mono_s - at <= FAILURE_WINDOW_S]
        return len(recent) <= CLOCK_STEPS_FORGIVEN

    def _delay_s(self, now: Now, *, was_running: bool) -> float:
        """Seconds until the next try: none after the first death of a healthy run, then 1, 2, 4 ... 60, +-20 %."""
        if self.gave_up:
            return RETRY_WHEN_FATAL_S
        recent = sum(1 for at in self._failures if now.mono_s - at <= FAILURE_WINDOW_S)
        if was_running and recent == 1:
            return 0.0
        base = min(BACKOFF_MAX_S, 2.0 ** (recent - 1))
        return float(base * (1.0 + 0.4 * (self._jitter - 0.5)))

    # -- what is done about it ----------------------------------------------------------------------------------------

    def reconcile(self, want: Want | None, now: Now) -> list[StartRun | StopRun]:
        """The next steps towards what is wanted; empty when there is nothing to do but wait."""
        match self.state:
            case CameraState.STOPPED:
                return self._start(want, now) if want else []
            case CameraState.STARTING | CameraState.RUNNING:
                if not self._fits(want):
                    return self._stop()
                if self._listened_for and now.mono_s >= self._evidence_mono_s + SILENCE_S:
                    self.silent = True
                    return self._stop()
                return []
            case CameraState.STOPPING:
                return []
            case CameraState.BACKOFF | CameraState.FATAL:
                if want is None:
                    self._signal(Signal.RELEASE)
                    self.forget_trouble()
                    return []
                return self._start(want, now) if now.mono_s >= self._retry_mono_s else []
            case _:
                assert_never(self.state)

    def new_session(self) -> None:
        """Begin with a clean record, and with nothing of this session verified yet."""
        self.forget_trouble()
        self.verified_until = None

    def forget_trouble(self) -> None:
        """A new session does not wait for the back-off of the last one."""
        self._failures.clear()
        self._clock_steps.clear()
        self.cause = self.error = None
        self.gave_up = False
        self.restarts = 0
        self._retry_mono_s = 0.0

    def next_deadline(self) -> float | None:
        """The monotonic instant at which `reconcile` has something to do without any event."""
        match self.state:
            case CameraState.STARTING | CameraState.RUNNING:
                return self._evidence_mono_s + SILENCE_S if self._listened_for else None
            case CameraState.BACKOFF | CameraState.FATAL:
                return self._retry_mono_s
            case _:
                return None

    def status(self, missing: str | None) -> CameraStatus:
        """The camera as the outside sees it; `missing` is why it is not there, if so."""
        run = self.run
        return CameraStatus(
            state=self.state,
            recording=run is not None and run.purpose is Purpose.RECORD and self.state is CameraState.RUNNING,
            width=run.profile.width if run else None,
            height=run.profile.height if run else None,
            fps=run.profile.fps if run else None,
            segment=self.segment,
            verified_until=self.verified_until,
            restarts=self.restarts,
            error=self.error or missing,
            purpose=run.purpose if run else None,
        )

    @property
    def _listened_for(self) -> bool:
        """Whether silence is the camera's own: a recording is heard by way of the disk."""
        return not (self._stalled and self.run is not None and self.run.purpose is Purpose.RECORD)

    def _fits(self, want: Want | None) -> bool:
        run = self.run
        return (
            want is not None
            and run is not None
            and (run.purpose, run.profile, run.mode) == (want.purpose, want.profile, want.mode)
        )

    def _start(self, want: Want, now: Now) -> list[StartRun | StopRun]:
        self.run = self._new_run(self.camera, want, now)
        self._evidence_mono_s = now.mono_s
        self._signal(Signal.START)
        return [StartRun(self.run, want.session)]

    def _stop(self) -> list[StartRun | StopRun]:
        assert self.run is not None  # noqa: S101 - a camera that starts or runs has one
        self._signal(Signal.STOP)
        return [StopRun(self.run.run_id)]

    def _signal(self, signal: Signal) -> None:
        self.state = TRANSITIONS[self.state, signal]
