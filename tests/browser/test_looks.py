from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from edge_agent.core.events import Cause
from edge_agent.core.problems import LIVE_VIEW_REDUCED
from edge_agent.core.recorder import LOW_FRAME_RATE
from edge_agent.mqtt.trouble import Trouble
from edge_agent.web.pages import STATIC
from tests.browser.conftest import OpenWindow
from tests.browser.window import Window, serious
from tests.fakes.agent import RunningAgent

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
VIEWS = ("live", "recordings", "settings")
PHONE, DESK = (360, 800), (1440, 900)
MOST_BYTES = 150 * 1024
MOST_PACKED_BYTES_BEFORE_FIRST_PAINT = 14 * 1024
"""What a new connection carries before it waits for the other side: ten packets."""

# How large the parts of the page are, unpacked.
_BODIES = """
() => Object.fromEntries(
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({name}) => name.includes("/static/") || new URL(name).pathname === "/")
    .map(({name, decodedBodySize}) => [name, decodedBodySize]))
"""

# The same, as they come over the wire, of those that the browser waited for before it showed anything.
_BEFORE_FIRST_PAINT = """
() => Object.fromEntries(
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({entryType, renderBlockingStatus}) => entryType === "navigation" || renderBlockingStatus === "blocking")
    .map(({name, encodedBodySize}) => [new URL(name).pathname, encodedBodySize]))
"""


@pytest.fixture(scope="module")
def recorded(agent: RunningAgent) -> Iterator[RunningAgent]:
    """An agent that records, with a locked file and a snapshot: every part of the page has something to show."""
    agent.do("start", {"mode": "dual-640", "label": "a trip"})
    agent.wait_for_segments("cam1", 2)
    agent.do("lock", "1s")
    agent.do("snapshot")
    yield agent
    agent.do("stop")


def settled(window: Window, view: str) -> None:
    """Wait until a view shows what it shows."""
    window.state("Recording")
    shown = {"live": "#health strong", "recordings": ".take", "settings": "#settings .facts dd"}
    expect(window[shown[view]].first).not_to_be_empty()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_nothing_is_wider_than_the_window(
    view: str, size: tuple[int, int], recorded: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window(view, width=size[0], height=size[1])
    settled(window, view)
    if view == "recordings":
        window[".take summary"].first.click()
        window[".take .thumb"].first.click()
        window[".strip"].focus()
        window[".strip"].press("[")
        expect(window[".clip"]).to_be_visible()
    assert not window.is_too_wide()


def test_the_record_button_is_on_a_phones_first_screen_below_both_pictures(
    recorded: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window(width=PHONE[0], height=PHONE[1])
    settled(window, "live")
    left, right, button = window.places("#live-cam0", "#live-cam1", "#record")
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
    assert button["y"] > left["y"] + left["height"]
    assert button["y"] + button["height"] < PHONE[1]
    assert button["height"] >= 44, "a thumb has to hit it"


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(view: str, look: str, recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window(view, look=look)
    settled(window, view)
    assert serious(window) == []


def test_axe_finds_a_button_without_a_name(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    settled(window, "live")
    window.page.evaluate("document.body.append(document.createElement('button'))")
    assert [found for found, _ in serious(window)] == ["button-name"]


def test_a_korean_browser_gets_korean_and_can_switch(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window(lang="ko-KR")
    window.state("녹화 중")
    expect(window["html"]).to_have_attribute("lang", "ko")
    expect(window["#record"]).to_have_text("정지")
    window["#language"].click()
    window.state("Recording")
    expect(window["#record"]).to_have_text("Stop")
    window.page.reload(wait_until="commit")
    window.state("Recording")


def words(lang: str) -> dict[str, str]:
    """The words of a language, read from its module."""
    text = (STATIC / f"words-{lang}.js").read_text(encoding="utf-8")
    return dict(re.findall(r'^  "?([\w.]+)"?: "((?:[^"\\]|\\.)*)",$', text, re.MULTILINE))


def test_both_languages_have_the_same_words_with_the_same_blanks() -> None:
    english, korean = words("en"), words("ko")
    assert len(english) > 150
    assert english.keys() == korean.keys()
    grammar = {"{s}"}
    blanks = {
        key: (set(re.findall(r"{\w+}", text)) - grammar, set(re.findall(r"{\w+}", korean[key])))
        for key, text in english.items()
    }
    assert {key: both for key, both in blanks.items() if both[0] != both[1]} == {}


def test_every_word_that_is_used_is_known() -> None:
    known = words("en").keys()
    scripts = [path for path in STATIC.glob("*.js") if not path.name.startswith("words")]
    used = {
        key
        for path in [*scripts, STATIC / "index.html"]
        for key in re.findall(r'(?:\bt\(|data-t=)"([\w.]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(used) > 100
    assert used - known == set()


def test_every_problem_that_the_broker_or_a_camera_makes_has_words() -> None:
    known = words("en").keys()
    codes = {*Trouble, *(set(Cause) - {Cause.STOPPED, Cause.CLOCK_STEP}), LIVE_VIEW_REDUCED, LOW_FRAME_RATE}
    without = {code for code in codes if not {f"problem.{code}", f"problem.{code.split('_')[0]}"} & known}
    assert without == {Trouble.TOO_LARGE, Trouble.CLIENT_ID_TAKEN}  # the agent's own sentences do


def test_the_look_can_be_chosen_and_is_kept(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    settled(window, "live")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    light = window.page.evaluate(colour)
    window["#look"].click()
    window["#look"].click()
    expect(window["#look"]).to_have_accessible_name("Look: dark")
    dark = window.page.evaluate(colour)
    assert dark != light
    window.page.reload(wait_until="commit")
    window.state("Recording")
    assert window.page.evaluate(colour) == dark


def test_the_page_is_light_and_asks_nobody_else(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("settings")
    hosts: set[str] = set()
    window.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    settled(window, "settings")
    for view in ("Recordings", "Live"):
        window.page.get_by_role("link", name=view).click()
        settled(window, view.lower())
    # All of it, and unpacked: what goes over the wire is a third.
    bodies: dict[str, int] = window.page.evaluate(_BODIES)
    assert len(bodies) > 15
    assert sum(bodies.values()) < MOST_BYTES
    assert len(hosts) == 1


def test_the_first_paint_waits_for_two_small_files_only(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    settled(window, "live")
    before: dict[str, int] = window.page.evaluate(_BEFORE_FIRST_PAINT)
    assert before.keys() == {"/", "/static/app.css", "/static/first.js"}
    assert sum(before.values()) < MOST_PACKED_BYTES_BEFORE_FIRST_PAINT
    # Something is to be seen then: none of it waits for the agent's answers.
    assert window.page.evaluate("performance.getEntriesByName('first-contentful-paint').length") == 1


def test_what_is_below_the_banners_waits_until_they_are_known(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("settings")
    settled(window, "settings")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    window.page.route("**/api/system/info", hold)
    window.page.goto("about:blank")
    with window.page.expect_request("**/api/system/info"):
        window.page.goto("/#live", wait_until="commit")
    window.state("Recording")
    expect(window["#record"]).to_have_text("Stop")
    expect(window["#record"]).to_be_hidden()
    held[0].continue_()
    expect(window["#record"]).to_be_visible()
    assert window["#simulated"].is_visible()


def test_recording_can_be_started_with_keys_alone(recorded: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    settled(window, "live")
    for _ in range(20):
        window.page.keyboard.press("Tab")
        if window.page.evaluate("document.activeElement.id") == "record":
            break
    window.page.keyboard.press("Enter")
    recorded.wait_for_state("idle")
    expect(window["#record"]).to_have_text("Record")
    expect(window["#record"]).to_be_enabled()
    window.page.keyboard.press("Enter")
    recorded.wait_for_state("recording")
