from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenWindow
from tests.browser.window import Window
from tests.fakes.agent import RunningAgent, eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
CAMERAS = ("cam0", "cam1")


@pytest.fixture
def idle(agent: RunningAgent) -> Iterator[RunningAgent]:
    """The module's agent, idle before and after."""
    yield agent
    agent.do("stop")
    agent.do("mode", "dual-640")
    agent.do("duration", "0")
    agent.wait_for_state("idle")


def watchers(window: Window) -> int:
    """How many live pictures the agent sends, as it counts itself."""
    metrics = window.page.request.get("/metrics").text()
    return sum(int(float(value)) for value in re.findall(r"^\S*camera_viewers\S* (\S+)$", metrics, re.MULTILINE))


def is_loaded(picture: Locator) -> bool:
    wide: int = picture.evaluate("img => img.naturalWidth")
    return wide == 640


def test_both_live_pictures_change_and_tell_their_age_and_rate(idle: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    window.state("Idle")
    for camera in CAMERAS:
        window.watch(camera, "pictures")
        expect(window[f"#live-{camera} .rate"]).to_have_text(re.compile(r"^[1-9]\d* fps · \d+\.\d s$"))
    expect(window["#simulated"]).to_contain_text("test pictures, not footage")


def test_record_and_stop_on_the_page_reach_the_broker_and_the_disk(idle: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    window.state("Idle")
    window["#label"].fill("a trip")
    window["#record"].click()
    assert idle.wait_for_state("recording")["label"] == "a trip"
    window.state("Recording")
    for camera in CAMERAS:
        # The recording itself, decoded by the browser.
        window.watch(camera, "film")
        expect(window[f"#live-{camera} .rec"]).to_be_visible()
    expect(window["#control .elapsed"]).to_have_text(re.compile(r"^(?!0:00)\d+:[0-5]\d$"))
    window["#record"].click()
    idle.wait_for_state("idle")
    window.state("Idle")
    window.watch("cam0", "pictures")
    assert all(idle.stored(camera) for camera in CAMERAS)
    expect(window["#events"]).to_contain_text("Recording ended: stopped by a command")


def test_mode_and_duration_that_are_chosen_are_selected_on_the_device(
    idle: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window()
    window["#mode"].select_option("cam0-720p")
    idle.wait_for(lambda status: status["selected_mode"] == "cam0-720p")
    window.page.get_by_role("radio", name="5 min").click()
    idle.wait_for(lambda status: status["duration_s"] == 300)
    expect(window.page.get_by_role("radio", name="5 min")).to_be_checked()
    expect(window["#control .remaining"]).to_have_text("for 5 min")
    window.button("Other …").click()
    window["#own-duration"].fill("1h30m")
    window["#own-duration"].press("Enter")
    idle.wait_for(lambda status: status["duration_s"] == 5400)
    expect(window.page.get_by_role("radio", name="1 h 30 min")).to_be_checked()
    # Somebody else selects something: the page follows.
    idle.do("mode", "dual-1080p")
    expect(window["#mode"]).to_have_value("dual-1080p")


def test_a_refused_command_is_answered_with_the_agents_own_sentence(
    idle: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window()
    window.state("Idle")
    window.button("Other …").click()
    window["#own-duration"].fill("8d")
    window["#own-duration"].press("Enter")
    window.hears("7 days")


def test_a_snapshot_is_taken_and_shown_among_the_recordings(idle: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    window.state("Idle")
    window.button("Snapshot").click()
    window.hears("Picture taken")
    taken = {camera: next(idle.root.glob(f"snapshots/{camera}/*.jpg")) for camera in CAMERAS}
    window.page.get_by_role("link", name="Recordings").click()
    for path in taken.values():
        picture = window[f'.album img[src$="{path.name}"]']
        expect(picture).to_be_visible()
        eventually(partial(is_loaded, picture), f"{path.name} to be loaded")


def test_nothing_is_streamed_for_pictures_that_nobody_looks_at(idle: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    window.watch("cam0", "pictures")
    eventually(lambda: watchers(window) == 2, "two streams")
    window.page.get_by_role("link", name="Settings").click()
    eventually(lambda: watchers(window) == 0, "the end of the streams")
    window.page.get_by_role("link", name="Live").click()
    window.watch("cam0", "pictures")


def test_a_recorder_that_dies_is_told_of_and_its_picture_comes_back(
    idle: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window()
    window["#record"].click()
    window.watch("cam1", "film")
    os.kill(idle.recorders()["cam1"], signal.SIGKILL)
    idle.wait_for_event("camera_fault")
    expect(window["#events .camera-fault"].first).to_contain_text("cam1")
    idle.wait_for_event("camera_recovered")
    window.watch("cam1", "film")
    window.watch("cam0", "film")


def test_nothing_that_comes_and_goes_moves_what_a_finger_is_about_to_touch(
    idle: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window(width=360, height=800)

    def heights() -> list[tuple[float, float]]:
        fixed = ("#live-cam0", "#live-cam1", "#record", ".quick", "#mode")
        return [(box["y"], box["height"]) for box in window.places(*fixed)]

    window.state("Idle")
    window.watch("cam0", "pictures")
    at_first = heights()
    idle.listener.publish(idle.topic("cmd/stop"), "PRESS", retain=True)
    expect(window["#problems"]).to_contain_text("An old command waits")
    expect(window["#brief .alarm"]).to_be_visible()
    assert heights() == at_first
    window["#record"].click()
    window.state("Recording")
    expect(window["#live-cam1 .rec"]).to_be_visible()
    assert heights() == at_first
    idle.kill()
    expect(window["#lost"]).to_be_in_viewport()
    assert heights() == at_first
    window["#events"].scroll_into_view_if_needed()
    expect(window["#lost"]).to_be_in_viewport()
    idle.listener.publish(idle.topic("cmd/stop"), retain=True)
    idle.start()
    expect(window["#lost"]).to_be_hidden()
    window.state("Recording")
    assert heights() == at_first


def test_a_restart_of_the_agent_is_shown_and_survived(idle: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    window["#record"].click()
    window.watch("cam0", "film")
    idle.kill()
    expect(window["#lost"]).to_be_visible()
    expect(window["#lost"]).to_contain_text("Connection lost")
    window.state("Not connected")
    expect(window["#record"]).to_be_disabled()
    idle.start()
    expect(window["#lost"]).to_be_hidden()
    # The recording went on without an agent, and the page goes on with it.
    window.state("Recording")
    window.watch("cam0", "film")
    window["#record"].click()
    idle.wait_for_state("idle")
