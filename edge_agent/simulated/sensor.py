"""When frames are taken: the steady beat of the sensor, and the clock that stamps them."""

from __future__ import annotations

import time

# Buffers in the real pipeline: a consumer may be this many frames late before frames are dropped.
BUFFERS = 6
# The two clocks are compared between two looks at one of them; further apart than this, the comparison is repeated.
_COMPARED_WITHIN_NS = 100_000
_COMPARISONS = 5


class Sensor:
    """Delivers a frame every `1e6 // fps` microseconds, 33333 at 30 fps: the real one's lines add up like that too."""

    def __init__(self, frames_per_second: float) -> None:
        self._interval_ns = int(1e6 / frames_per_second) * 1000
        self._next_ns = time.monotonic_ns()
        self.dropped = 0

    def wait(self, beats: int) -> int:
        """Sleep until the next frame, `beats` intervals after the last; return when it was taken (monotonic, ns).

        Returns at once for a frame that is already due. Frames nobody fetched while all buffers were full are lost.
        """
        self._next_ns += beats * self._interval_ns
        now_ns = time.monotonic_ns()
        late = (now_ns - self._next_ns) // self._interval_ns
        if late > BUFFERS:
            self.dropped += late
            self._next_ns += late * self._interval_ns
        elif late < 0:
            time.sleep((self._next_ns - now_ns) / 1e9)
        return self._next_ns


class FrameClock:
    """Stamps frames with the wall clock, or with the sensor's own (before rpicam-apps 1.8.0)."""

    def __init__(self, *, wall: bool) -> None:
        self._wall = wall
        self._difference_ns = 0

    def stamp_us(self, taken_ns: int, offset_s: float) -> int:
        """Microseconds for a frame taken at this monotonic instant, on a clock that is off by `offset_s`."""
        if not self._wall:
            return taken_ns // 1000
        return (taken_ns + self._wall_minus_monotonic_ns()) // 1000 + int(offset_s * 1e6)

    def unix_s(self, taken_ns: int, offset_s: float) -> float:
        """The Unix time of the frame, for the clock in the picture."""
        return (taken_ns + self._wall_minus_monotonic_ns()) / 1e9 + offset_s

    def _wall_minus_monotonic_ns(self) -> int:
        """How far the clocks are apart, without the noise of being interrupted between the two."""
        for _ in range(_COMPARISONS):
            before = time.monotonic_ns()
            wall = time.time_ns()
            after = time.monotonic_ns()
            if after - before < _COMPARED_WITHIN_NS:
                difference = wall - (before + after) // 2
                # Noise of the measurement itself must not become jitter of the timestamps.
                if abs(difference - self._difference_ns) > _COMPARED_WITHIN_NS:
                    self._difference_ns = difference
                break
        return self._difference_ns
