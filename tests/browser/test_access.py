from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenWindow, free_port
from tests.browser.window import Window, serious
from tests.fakes.agent import RunningAgent
from tests.fakes.mosquitto import Mosquitto

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
VIEWER, OPERATOR = "the-viewers-own-token", "the-operators-own-token"


@pytest.fixture(scope="module")
def agent(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that lets in a viewer and an operator, and nobody else."""
    folder = tmp_path_factory.mktemp("agent")
    tokens = folder / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"viewer eye {VIEWER}\noperator hand {OPERATOR}\n")
    with RunningAgent(folder, broker, web__port=free_port(), web__tokens_file=tokens) as agent:
        yield agent.start()


def log_in(window: Window, token: str) -> None:
    window.page.get_by_label("Token").fill(token)
    window.button("Log in").click()


def test_a_stranger_is_sent_to_the_login_and_nowhere_else(agent: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(window.page).to_have_url(re.compile("/login"))
    assert window.page.request.get("/stream/cam0").status == 401
    log_in(window, "a-token-that-nobody-has")
    expect(window.page.get_by_role("alert")).to_contain_text("not known")
    assert not window.is_too_wide()


def test_the_login_is_korean_for_a_korean_browser_and_hinders_nobody(
    agent: RunningAgent, open_window: OpenWindow
) -> None:
    for lang, look in (("ko-KR", "light"), ("en", "dark")):
        window = open_window(lang=lang, look=look, width=360)
        expect(window.page.get_by_role("button")).to_have_text("로그인" if lang == "ko-KR" else "Log in")
        assert serious(window) == []


def test_an_operator_logs_in_records_and_logs_out(agent: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    log_in(window, OPERATOR)
    window.state("Idle")
    window.watch("cam0", "pictures")
    window["#record"].click()
    agent.wait_for_state("recording")
    window.watch("cam0", "film")
    window["#record"].click()
    agent.wait_for_state("idle")
    window["#logout"].click()
    expect(window.page.get_by_label("Token")).to_be_visible()
    window.page.goto("/", wait_until="commit")
    expect(window.page.get_by_label("Token")).to_be_visible()


def test_a_viewer_sees_everything_and_can_press_nothing(agent: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    log_in(window, VIEWER)
    window.state("Idle")
    window.watch("cam1", "pictures")
    expect(window["#viewer"]).to_contain_text("not operate")
    for control in (window["#record"], window["#mode"], window.button("Snapshot")):
        expect(control).to_be_disabled()
    window.page.get_by_role("link", name="Settings").click()
    apply = window.button("Apply")
    expect(apply).to_be_disabled()
    # It looks so, too.
    colour = "button => getComputedStyle(button).backgroundColor"
    assert apply.evaluate(colour) == window["#record"].evaluate(colour)


def test_a_phone_shows_the_devices_name_and_lets_log_out_in_the_settings(
    agent: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window(width=360)
    log_in(window, OPERATOR)
    window.state("Idle")
    assert window["#device"].evaluate("name => name.scrollWidth <= name.clientWidth")
    window.page.get_by_role("link", name="Settings").click()
    window["#settings"].get_by_role("button", name="Log out").click()
    expect(window.page.get_by_label("Token")).to_be_visible()


def test_who_is_not_let_in_any_more_lands_at_the_login(agent: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window()
    # The last that a page asks for by itself: whatever it asks after that is because of the click.
    with window.page.expect_response("**/api/history"):
        log_in(window, OPERATOR)
    window.state("Idle")
    window.page.context.clear_cookies()
    window["#record"].click()
    expect(window.page.get_by_label("Token")).to_be_visible()
