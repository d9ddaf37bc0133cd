"""The dashboard and the device's page as Home Assistant draws them in a real Chromium; the pictures are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.homeassistant.home import DEVICE, Home

ARTEFACTS = Path(__file__).parents[2] / "artefacts" / "homeassistant"
PATIENCE_MS = 60_000
_DESK, _PHONE = {"width": 1280, "height": 1120}, {"width": 390, "height": 2500}
_HIDDEN_SIDEBAR = "localStorage.setItem('dockedSidebar', '\"always_hidden\"')"

# What a card shows that Home Assistant cannot draw, wherever it stands in the shadows.
_FAULTS = """
() => {
  const found = [];
  const look = (root) => {
    for (const one of root.querySelectorAll("*")) {
      if (/^hui-(error|warning)/.test(one.localName)) found.push(one.shadowRoot?.textContent ?? one.localName);
      if (one.shadowRoot) look(one.shadowRoot);
    }
  };
  look(document);
  return found;
}
"""


@contextmanager
def opened(home: Home, path: str, size: dict[str, int], look: str = "light") -> Iterator[Page]:
    """A page of Home Assistant's, for its owner, at desk or phone size."""
    program = shutil.which("chromium")
    assert program is not None, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        phone = size["width"] < 500
        context = browser.new_context(
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme="dark" if look == "dark" else "light",
            is_mobile=phone,
            has_touch=phone,
            locale="en-GB",
        )
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(f"{home.assistant.page_session()}; {_HIDDEN_SIDEBAR}")
        page = context.new_page()
        page.goto(home.assistant.url + path, wait_until="commit")
        yield page
        browser.close()


def keep(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", animations="disabled")


def has_pictures(page: Page, count: int) -> None:
    """Wait until so many cards show a picture that could be loaded."""
    pictures = page.locator("hui-picture-entity-card hui-image img")
    expect(pictures).to_have_count(count, timeout=PATIENCE_MS)
    for number in range(count):
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 1", arg=pictures.nth(number).element_handle()
        )


@pytest.mark.parametrize(("size", "name"), [(_DESK, "idle-desk"), (_PHONE, "idle-phone")], ids=["desk", "phone"])
def test_the_dashboard_of_an_idle_device_shows_everything(home: Home, size: dict[str, int], name: str) -> None:
    with opened(home, "/edge-agent/blackbox", size) as page:
        expect(page.get_by_text("idle", exact=True)).to_be_visible(timeout=PATIENCE_MS)
        has_pictures(page, 2)
        assert page.evaluate(_FAULTS) == []
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
        keep(page, name)


def test_the_dashboard_of_a_recording_device_shows_pictures_and_the_deadline(home: Home) -> None:
    home.assistant.call("number.set_value", f"number.{DEVICE}_duration", value=3600)
    home.assistant.call("switch.turn_on", f"switch.{DEVICE}_recording")
    home.wait_until_shown(f"sensor.{DEVICE}_cam0_state", "running")
    home.assistant.call("button.press", f"button.{DEVICE}_snapshot")
    home.wait_until_shown(f"sensor.{DEVICE}_last_command", "snapshot succeeded")
    device = home.device_id()
    for look, size, name in (("light", _DESK, "desk"), ("dark", _DESK, "desk-dark"), ("light", _PHONE, "phone")):
        with opened(home, "/edge-agent/blackbox", size, look) as page:
            expect(page.get_by_text("Ends", exact=True)).to_be_visible(timeout=PATIENCE_MS)
            has_pictures(page, 4)
            assert page.evaluate(_FAULTS) == []
            keep(page, name)
    with opened(home, "/edge-agent/history", _DESK) as page:
        expect(page.get_by_text("record succeeded")).to_be_visible(timeout=PATIENCE_MS)
        assert page.evaluate(_FAULTS) == []
        keep(page, "history")
    with opened(home, f"/config/devices/device/{device}", {"width": 1280, "height": 1400}) as page:
        expect(page.get_by_text("Camera 0 preview")).to_be_visible(timeout=PATIENCE_MS)
        keep(page, "device")
    home.assistant.call("switch.turn_off", f"switch.{DEVICE}_recording")
    home.wait_until_shown(f"switch.{DEVICE}_recording", "off")
    home.assistant.call("number.set_value", f"number.{DEVICE}_duration", value=0)


def test_a_card_that_cannot_be_drawn_is_found(home: Home) -> None:
    cards = [{"type": "tile", "entity": "sensor.van7_state"}, {"type": "no-such-card"}]
    home.assistant.ask(
        {"type": "lovelace/dashboards/create", "url_path": "bad-one", "title": "Bad", "mode": "storage"},
        {"type": "lovelace/config/save", "url_path": "bad-one", "config": {"views": [{"cards": cards}]}},
    )
    with opened(home, "/bad-one/0", _DESK) as page:
        page.wait_for_function(f"() => ({_FAULTS})().length === 1")
