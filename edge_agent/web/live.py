"""The hub of one camera's live view: the newest frame, who watches, and whether frames are wanted at all.

A source publishes here, whichever it is at the moment; viewers stay while sources change. Nothing here decides whether
a camera process runs: the hub says what is wanted, the core what is done about it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge_agent.core.model import Now
from edge_agent.latest import Frame, Latest
from edge_agent.web.audience import Audience
from edge_agent.web.part import MemoryFiles, Part
from edge_agent.web.thrift import Thrift
from edge_agent.web.viewer import Viewer

NO_SIGNAL_AFTER_S = 2.0
"""How old the last picture may be before the stand-in is shown: a change of source takes less."""
NO_SIGNAL_EVERY_S = 1.0
"""How often the stand-in is sent again, so that a viewer's end is noticed and a late page shows it."""
NO_SIGNAL = Path(__file__).with_name("no_signal.jpg").read_bytes()
LINGER_S = 10.0
"""How long frames stay wanted after the last viewer has gone: a page that is loaded again finds the camera running."""
MEASURED_S = 2.0


class Seats:
    """How many viewers there may be, over all cameras."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> bool:
        """Take a seat for a viewer; False if there is none left."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def free(self) -> None:
        """Give the seat back."""
        self.taken -= 1


class LiveView:
    """Brings one camera's frames to all who watch it. Call from the event loop only.

    `wanted` is called with True when the first viewer or snapshot needs frames, and with False `linger_s` after the
    last one needed them. `latest` holds the newest frame and may be subscribed to; that does not make frames wanted.
    When no frame came for `no_signal_after_s`, viewers see a stand-in, once a second; `latest` never holds it.
    """

    def __init__(
        self,
        camera: str,
        wanted: Callable[[bool], None],
        clock: Callable[[], Now],
        linger_s: float = LINGER_S,
        no_signal_after_s: float = NO_SIGNAL_AFTER_S,
        thrift: Thrift | None = None,
    ) -> None:
        self.camera = camera
        self.latest: Latest[Frame] = Latest()
        self._wanted = wanted
        self._clock = clock
        self._linger_s = linger_s
        self._no_signal_after_s = no_signal_after_s
        self.audience = Audience()
        self._gone: dict[Viewer, Callable[[], None]] = {}
        self._files = MemoryFiles()
        self._thrift = thrift or Thrift()
        self.newest: Part | None = None
        self._sequence = 0
        self._times: deque[float] = deque(maxlen=256)
        self._interval_s = 0.0
        self._dropped = 0
        self._needs = 0
        self._is_wanted = False
        self._closed = False
        self._heard_mono_s = 0.0
        self._standing_in = False
        self._lingering: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None

    @property
    def viewers(self) -> int:
        return len(self.audience)

    @property
    def dropped_frames(self) -> int:
        """Frames that viewers missed because they were slow, over all of them, those that have gone included."""
        return self._dropped + sum(viewer.dropped for viewer in self.audience)

    @property
    def fps(self) -> float:
        """Frames per second that the camera delivered over the last two seconds; 0 when it delivers none."""
        since = self._clock().mono_s - MEASURED_S
        times = [instant for instant in self._times if instant >= since]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    @property
    def rate_limit_fps(self) -> float | None:
        """The most frames per second that a viewer gets, None for all; may be set at any time."""
        return 1 / self._interval_s if self._interval_s else None

    @rate_limit_fps.setter
    def rate_limit_fps(self, fps: float | None) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        for viewer in self.audience:
            viewer.limit(self._interval_s)

    def publish(self, jpeg: bytes, captured: Now) -> None:
        """Make this the newest frame and send it to all who keep up. Never blocks."""
        frame = self._next(jpeg, captured)
        self._times.append(captured.mono_s)
        self._standing_in = False
        self.latest.put(frame)
        if self.audience:
            self._show(frame)

    def join(self, viewer: Viewer, gone: Callable[[], None]) -> None:
        """Let `viewer` watch until its connection ends, when `gone` is called. A picture that is there is sent now."""
        if self._closed:
            viewer.close()
            gone()
            return
        self._need()
        now_s = self._clock().mono_s
        if not self.audience:
            self._heard_mono_s = now_s
            self._standing_in = False
            self._silence = asyncio.get_running_loop().call_later(self._no_signal_after_s, self._stand_in)
        self._gone[viewer] = gone
        viewer.begin(self, self._interval_s)
        newest = self.latest.value
        if self.newest is None and newest is not None and now_s - newest.captured_mono_s < self._no_signal_after_s:
            self.newest = Part(newest)
        if self.newest is not None:
            viewer.offer(self.newest, now_s)

    def leave(self, viewer: Viewer) -> None:
        """Forget `viewer`, whose connection has ended; for the viewer itself to call."""
        self.audience.discard(viewer)
        self._dropped += viewer.dropped
        if not self.audience:
            if self._silence is not None:
                self._silence.cancel()
                self._silence = None
            if self.newest is not None:
                self.newest.retire()
                self.newest = None
        self._need_less()
        self._gone.pop(viewer)()

    async def fresh(self, timeout_s: float) -> Frame:
        """A frame captured after this call; until then frames are wanted. Raises `TimeoutError`. Safe to cancel."""
        asked_s = self._clock().mono_s
        self._need()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    frame = await self.latest.newer(self.latest.count)
                    if frame.captured_mono_s >= asked_s:
                        return frame
        finally:
            self._need_less()

    def close(self) -> None:
        """End all connections and timers, and any connection that still comes."""
        self._closed = True
        for viewer in self.audience:
            viewer.close()
        if self._lingering is not None:
            self._lingering.cancel()
        self._files.close()

    def _next(self, jpeg: bytes, captured: Now) -> Frame:
        self._sequence += 1
        self._heard_mono_s = captured.mono_s
        return Frame(jpeg, captured.wall, captured.mono_s, self._sequence)

    def _show(self, frame: Frame) -> None:
        crowd = len(self.audience)
        from_file = self._thrift.choose(crowd)
        # First give the last one's file back: its pages are still in the cache, and taken first by the new one.
        if self.newest is not None:
            self.newest.retire()
        part = self.newest = Part(frame, self._files if from_file else None)
        self.audience.offer(part, frame.captured_mono_s)
        self._thrift.settle(crowd, from_file=from_file)

    def _need(self) -> None:
        self._needs += 1
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if not self._is_wanted:
            self._is_wanted = True
            self._wanted(True)

    def _need_less(self) -> None:
        self._needs -= 1
        if not self._needs:
            self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._unwant)

    def _unwant(self) -> None:
        self._lingering = None
        self._is_wanted = False
        self._wanted(False)

    def _stand_in(self) -> None:
        """Show the stand-in if the camera was silent for long, and look again when it may be due."""
        now = self._clock()
        patience_s = NO_SIGNAL_EVERY_S if self._standing_in else self._no_signal_after_s
        wait_s = self._heard_mono_s + patience_s - now.mono_s
        if wait_s <= 0:
            self._standing_in = True
            self._show(self._next(NO_SIGNAL, now))
            wait_s = NO_SIGNAL_EVERY_S
        self._silence = asyncio.get_running_loop().call_later(wait_s, self._stand_in)
