"""When a session is over, and the step of its mode that is on: lengths of the mode table on the monotonic clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from edge_agent.core.model import Mode, Now, Session

STEP_PATIENCE_S = 15.0
"""How long a step waits for its other cameras once the first one delivers; a start is answered by then."""
SWITCH_S = 1.0
"""What the change to the next step is taken to last: the camera program ends and begins anew."""


class Timetable:
    """The end of the session and of its current step. Owned by `Agent`, which asks it after every event."""

    def __init__(self, modes: Mapping[str, Mode]) -> None:
        self._modes = modes
        self._first_mono_s: float | None = None
        self._step_end_mono_s: float | None = None
        self._frames: dict[str, float] = {}
        self._planned: tuple[str, str, float] | None = None
        """The session, the mode, and when its steps will be over as far as is known."""

    def clear(self) -> None:
        """Another step or session begins; its length counts when its cameras deliver."""
        self._first_mono_s = self._step_end_mono_s = None
        self._frames.clear()

    def first_frame(self, camera: str, at: Now) -> None:
        """The footage of this step begins at `at` on `camera`; bytes of it are seen up to a fragment later."""
        self._frames.setdefault(camera, at.mono_s)

    def delivering(self, session: Session, now: Now, *, everyone: bool) -> None:
        """Some camera of the session delivers, or everyone: the step is on, unless it is already.

        Its length counts from the first frame of the camera that came last, so that each has footage of all of it.
        """
        if self._first_mono_s is None:
            self._first_mono_s = now.mono_s
            self._plan(session, now.mono_s)
        if self._step_end_mono_s is None and (everyone or now.mono_s - self._first_mono_s >= STEP_PATIENCE_S):
            length_s = self._modes[session.mode].steps[session.step].length_s
            begun_mono_s = max(self._frames.get(camera, now.mono_s) for camera in session.cameras)
            self._step_end_mono_s = None if length_s is None else begun_mono_s + length_s
            self._plan(session, begun_mono_s)

    def _plan(self, session: Session, begun_mono_s: float) -> None:
        """Work out when the last step will be over, now that this one has begun."""
        steps = self._modes[session.mode].steps[session.step :]
        length_s = sum(step.length_s or 0.0 for step in steps) + SWITCH_S * (len(steps) - 1)
        self._planned = (session.id, session.mode, begun_mono_s + length_s)

    def step_is_over(self, now: Now) -> bool:
        return self._step_end_mono_s is not None and now.mono_s >= self._step_end_mono_s

    def is_over(self, session: Session, now: Now) -> bool:
        """Whether the session's duration has passed; a mode that ends by itself ends with its last step."""
        end_mono_s = self._end_mono_s(session)
        return end_mono_s is not None and now.mono_s >= end_mono_s

    def next_deadline(self, session: Session | None) -> float | None:
        """The monotonic instant of the next end, or None."""
        candidates = [self._step_end_mono_s, self._end_mono_s(session) if session else None]
        return min((at for at in candidates if at is not None), default=None)

    def ends_at(self, session: Session) -> datetime | None:
        """The wall instant at which the session is to end; None: until stopped, or not known yet."""
        if session.started is None:
            return None
        end_mono_s = self._end_mono_s(session)
        if self._modes[session.mode].timed and self._planned and self._planned[:2] == (session.id, session.mode):
            end_mono_s = self._planned[2]
        if end_mono_s is None:
            return None
        return session.started.wall + timedelta(seconds=end_mono_s - session.started.mono_s)

    def _end_mono_s(self, session: Session) -> float | None:
        if session.started is None or not session.duration_s or self._modes[session.mode].timed:
            return None
        return session.started.mono_s + session.duration_s
