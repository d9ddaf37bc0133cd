"""How fast live view may go: it gives way first when the machine is hot, throttled or short of processor time.

Pure. Recording is never asked to give way; its pace is not here.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS_FPS: tuple[float | None, ...] = (None, 15.0, 5.0)
"""Full rate, then the two lower ones."""
CPU_HIGH_PERCENT, CPU_LOW_PERCENT = 90.0, 70.0
HOT_C, COOL_C = 80.0, 75.0
"""A Pi 5 throttles itself at 85 degrees; between these two nothing changes, so that the rate does not swing."""
DOWN_AFTER_S, UP_AFTER_S = 10.0, 30.0
"""How long trouble has to last for a step down, and calm for a step up."""


@dataclass(frozen=True, slots=True)
class Strain:
    """What the machine measures; None where it does not."""

    cpu_percent: float | None
    temperature_c: float | None
    throttled: bool | None

    @property
    def reason(self) -> str | None:
        """What is too much, None when nothing is."""
        if self.throttled:
            return "the processor is throttled"
        if self.temperature_c is not None and self.temperature_c >= HOT_C:
            return f"the processor is at {self.temperature_c:.0f} degrees"
        if self.cpu_percent is not None and self.cpu_percent >= CPU_HIGH_PERCENT:
            return f"the processor is {self.cpu_percent:.0f} % busy"
        return None

    @property
    def calm(self) -> bool:
        """Whether everything is well below its limit."""
        return (
            not self.throttled
            and (self.temperature_c is None or self.temperature_c < COOL_C)
            and (self.cpu_percent is None or self.cpu_percent < CPU_LOW_PERCENT)
        )


class Pace:
    """Steps the rate of live view down and up again, with hysteresis. `reason` is why it is not at its full rate."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._step = 0
        self._strained_since_s: float | None = None
        self._calm_since_s: float | None = None

    @property
    def limit_fps(self) -> float | None:
        """The most frames a second that a viewer gets now, None for all."""
        return STEPS_FPS[self._step]

    def take(self, strain: Strain, mono_s: float) -> None:
        """Take one measurement, made at the monotonic instant `mono_s`."""
        reason = strain.reason
        self._strained_since_s = _since(self._strained_since_s, mono_s) if reason else None
        self._calm_since_s = _since(self._calm_since_s, mono_s) if strain.calm else None
        if reason and _lasted(self._strained_since_s, mono_s, DOWN_AFTER_S):
            self._step = min(self._step + 1, len(STEPS_FPS) - 1)
            self._strained_since_s = mono_s
            self.reason = reason
        elif self._step and _lasted(self._calm_since_s, mono_s, UP_AFTER_S):
            self._step -= 1
            self._calm_since_s = mono_s
            self.reason = self.reason if self._step else None


def _since(since_s: float | None, mono_s: float) -> float:
    return mono_s if since_s is None else since_s


def _lasted(since_s: float | None, mono_s: float, length_s: float) -> bool:
    return since_s is not None and mono_s - since_s >= length_s
