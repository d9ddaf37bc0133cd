from __future__ import annotations

from edge_agent.app.yielding import Yielding
from edge_agent.core.events import Event, ProblemChanged
from edge_agent.core.pace import DOWN_AFTER_S, UP_AFTER_S, Strain

BUSY = Strain(cpu_percent=99.0, temperature_c=50.0, throttled=False)
CALM = Strain(cpu_percent=5.0, temperature_c=50.0, throttled=False)


class Device:
    """What is told and allowed, and how many watch."""

    def __init__(self) -> None:
        self.viewers = 0
        self.limit: float | None = None
        self.told: list[str | None] = []
        self._mono_s = 0.0
        self._yielding = Yielding(self._set_limit, lambda: self.viewers > 0, self._post)

    def measure(self, strain: Strain, length_s: float) -> None:
        end_s = self._mono_s + length_s
        while self._mono_s <= end_s:
            self._yielding.take(strain, self._mono_s)
            self._mono_s += 1.0

    def _set_limit(self, fps: float | None) -> None:
        self.limit = fps

    def _post(self, event: Event) -> None:
        assert isinstance(event, ProblemChanged)
        assert event.code == "live_view_reduced"
        self.told.append(event.message)


def test_a_strained_device_slows_down_and_says_so_while_somebody_watches() -> None:
    device = Device()
    device.viewers = 1
    device.measure(BUSY, DOWN_AFTER_S)
    assert device.limit == 15.0
    assert device.told == [
        "live view shows 15 frames a second because the processor is 99 % busy; recordings are whole",
    ]
    device.measure(CALM, UP_AFTER_S)
    assert device.limit is None
    assert device.told[1:] == [None]


def test_nothing_is_said_while_nobody_watches() -> None:
    device = Device()
    device.measure(BUSY, DOWN_AFTER_S)
    device.measure(CALM, UP_AFTER_S)
    device.measure(BUSY, DOWN_AFTER_S)
    assert device.limit == 15.0, "whoever comes now gets the lower rate at once"
    assert device.told == []


def test_it_is_said_when_a_viewer_comes_and_over_when_the_last_one_leaves() -> None:
    device = Device()
    device.measure(BUSY, DOWN_AFTER_S)
    device.viewers = 2
    device.measure(BUSY, 0)
    assert device.told == [
        "live view shows 15 frames a second because the processor is 99 % busy; recordings are whole"
    ]
    device.viewers = 0
    device.measure(BUSY, 0)
    assert device.told[1:] == [None]
