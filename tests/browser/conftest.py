"""A real Chromium before a real agent. Each module has one of each; each test gets a window of its own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.window import LISTEN, PATIENCE_MS, Window
from tests.fakes.agent import RunningAgent
from tests.fakes.mosquitto import Mosquitto

ARTEFACTS = Path(__file__).parents[2] / "artefacts" / "browser"
OpenWindow = Callable[..., Window]


def free_port() -> int:
    """A port that is free now. The agent keeps it over its restarts, so that a page finds it again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# One per module: while it is open, playwright's loop counts as running in this thread, and asyncio tests could not run.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def agent(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """The module's agent; each test leaves it idle."""
    with RunningAgent(
        tmp_path_factory.mktemp("agent"), broker, web__port=free_port(), telemetry__interval_s=1
    ) as agent:
        yield agent.start()


@pytest.fixture
def open_window(chromium: Browser, agent: RunningAgent, request: pytest.FixtureRequest) -> Iterator[OpenWindow]:
    """Open the page in a window: `open_window("recordings", width=360)`. What went wrong in it fails the test."""
    contexts: list[BrowserContext] = []
    windows: list[Window] = []
    origin = f"http://127.0.0.1:{agent.environment()['EDGE_AGENT__WEB__PORT']}"

    def make(
        view: str = "live", *, width: int = 1280, height: int = 900, lang: str = "en", look: str = "light"
    ) -> Window:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if look == "dark" else "light",
            locale=lang,
            has_touch=width < 500,
            is_mobile=width < 500,
            base_url=origin,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(LISTEN)
        contexts.append(context)
        window = Window(context.new_page())
        windows.append(window)
        # Not `load`: live pictures never end.
        window.page.goto(f"/#{view}", wait_until="commit")
        return window

    yield make
    for number, window in enumerate(windows):
        _keep(window.page, f"{request.node.name}-{number}")
    for context in contexts:
        context.close()
    assert [line for window in windows for line in window.complaints] == []


def _keep(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
    page.screenshot(path=ARTEFACTS / f"{safe}.png")
