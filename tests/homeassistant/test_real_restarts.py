"""A real Home Assistant, the broker and the agent restart in every order, and everything is available again."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import permutations

import pytest

from tests.homeassistant.home import BACK_WITHIN_S, DEVICE, RECONNECTS_AFTER_S, Home

RESTARTS: dict[str, Callable[[Home], None]] = {
    "assistant": lambda home: home.assistant.restart(),
    "broker": Home.restart_broker,
    "agent": lambda home: home.agent.restart(),
}

DISCOVERY = f"homeassistant/device/edge_agent_{DEVICE}/config"
BIRTH_S = 6.0
"""Home Assistant sends its birth message so long after it is running."""


def wait_until_well(home: Home) -> float:
    """Wait until nothing is unavailable any more, and return how long that took."""
    started_s = time.monotonic()
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}", 40)
    return time.monotonic() - started_s


def allowed_s(*restarted: str) -> float:
    """How long it may take; Home Assistant's own patience counts where its broker was away."""
    return BACK_WITHIN_S + (RECONNECTS_AFTER_S if "broker" in restarted else 0)


@pytest.mark.parametrize("order", [*permutations(RESTARTS)], ids="-".join)
def test_all_entities_are_available_after_restarts(home: Home, order: tuple[str, ...]) -> None:
    """One after the other, each as soon as the one before it is back on its feet, but not yet heard of by the rest."""
    for name in order:
        RESTARTS[name](home)
    assert wait_until_well(home) < allowed_s(*order)
    home.wait_until_shown("sensor.van7_state", "idle")


@pytest.mark.parametrize("name", RESTARTS)
def test_a_recording_is_shown_again_after_a_restart(home: Home, name: str) -> None:
    home.assistant.call("switch.turn_on", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "on")
    if name == "agent":
        home.agent.kill()
        home.agent.start()
    else:
        RESTARTS[name](home)
    assert wait_until_well(home) < allowed_s(name)
    home.wait_until_shown("switch.van7_recording", "on")
    home.assistant.call("switch.turn_off", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "off")


def test_a_dead_agent_is_unavailable_and_its_connection_is_off(home: Home) -> None:
    home.agent.kill()
    home.wait_until_shown("sensor.van7_state", "unavailable", timeout_s=60)
    assert home.assistant.state("binary_sensor.van7_connection") == "off"
    home.agent.start()
    assert wait_until_well(home) < BACK_WITHIN_S


def test_a_broker_that_forgot_everything_is_told_again(home: Home) -> None:
    home.restart_broker(forgetting=True)
    home.wait(lambda: home.broker.retained(DISCOVERY), lambda: "no discovery")
    home.assistant.restart()
    assert wait_until_well(home) < BACK_WITHIN_S


def test_birth_makes_the_agent_announce_again_after_a_moment(home: Home) -> None:
    """What the broker lost without the agent noticing comes back with Home Assistant's birth message."""
    home.assistant.stop()
    home.broker.publish(DISCOVERY, retain=True)
    home.assistant.start()
    assert home.unwell()
    assert wait_until_well(home) < BIRTH_S + BACK_WITHIN_S
