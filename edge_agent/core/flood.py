"""How many commands a door takes: a steady rate and a burst above it. Pure; each door has its own."""

from __future__ import annotations

COMMANDS_PER_S = 10
COMMAND_BURST = 20
"""Commands that may come at once after a pause, as when a page or a rule sets several things."""
TOO_FAST = f"more than {COMMANDS_PER_S} commands a second came (burst {COMMAND_BURST}); send this one again"
"""What is said to the sender of a command that a door does not take."""


class FloodGuard:
    """Admits commands as long as they come no faster than the limits; a refused one costs nothing."""

    def __init__(self, per_s: float = COMMANDS_PER_S, burst: float = COMMAND_BURST) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = self._burst
        self._last_mono_s: float | None = None

    def admit(self, mono_s: float) -> bool:
        """Whether a command that came at this monotonic instant may be obeyed."""
        if self._last_mono_s is not None:
            passed_s = max(0.0, mono_s - self._last_mono_s)
            self._left = min(self._burst, self._left + passed_s * self._per_s)
        self._last_mono_s = mono_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
