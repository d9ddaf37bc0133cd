"""The list of what a person should know and can act on, each entry with the instant it began."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.core.model import CameraState, Now, Problem
from edge_agent.core.recorder import LOW_FRAME_RATE, Recorder

LIVE_VIEW_REDUCED = "live_view_reduced"
NOTES = frozenset({LIVE_VIEW_REDUCED})
"""What is listed because a person may wonder, though nothing is wrong and nobody has to come: no alarm for these."""


class Problems:
    """Problems by (code, subject): one code can stand for several cameras. Owned by `Agent`."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Problem] = {}

    def set(self, code: str, subject: str, message: str | None, now: Now) -> None:
        """Note, reword or (with None) forget one; the instant it began stays."""
        key = (code, subject)
        if message is None:
            self._known.pop(key, None)
        elif old := self._known.get(key):
            self._known[key] = replace(old, message=message)
        else:
            self._known[key] = Problem(code, message, now.wall)

    def listed(self) -> tuple[Problem, ...]:
        """All of them, oldest first."""
        return tuple(sorted(self._known.values(), key=lambda problem: (problem.since, problem.code)))

    def tell_camera(self, recorder: Recorder, now: Now) -> None:
        """Bring a camera's entries in line with its recorder: kept while it retries, gone when it runs or is let go."""
        self.set(LOW_FRAME_RATE, recorder.camera, recorder.slow, now)
        subject = f"run of {recorder.camera}"  # of the camera itself is what `--list-cameras` says
        waiting_for = recorder.cause if recorder.state in (CameraState.BACKOFF, CameraState.FATAL) else None
        settled = waiting_for or recorder.error is None or recorder.state is CameraState.STOPPED
        stale = [key for key in self._known if settled and key[1] == subject and key[0] != waiting_for]
        for key in stale:
            del self._known[key]
        if waiting_for:
            self.set(str(waiting_for), subject, f"{recorder.camera}: {recorder.error}", now)
