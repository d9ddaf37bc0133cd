"""The page in one browser window, with what tests look at."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

from tests.fakes.agent import eventually

PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)

_AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_JUDGE = "async () => (await axe.run()).violations.filter(one => ['serious', 'critical'].includes(one.impact))"

# A small copy of what a camera's tile shows now, whichever element shows it, as a number.
_PICTURE = """
camera => {
  const tile = document.getElementById(`live-${camera}`);
  const video = tile?.querySelector("video.shown");
  const shown = video ?? tile?.querySelector("img");
  if (!shown || !(shown.videoWidth || shown.naturalWidth > 1)) return null;
  const canvas = document.createElement("canvas");
  canvas.width = 64; canvas.height = 48;
  const pen = canvas.getContext("2d");
  pen.drawImage(shown, 0, 0, 64, 48);
  let sum = 0;
  for (const value of pen.getImageData(0, 0, 64, 48).data) sum = (Math.imul(sum, 31) + value) | 0;
  return `${video ? "film" : "pictures"} ${sum}`;
}
"""


# Where elements are now, all of one moment: a page that changes between two looks has them nowhere.
_PLACES = """
selectors => selectors.map(selector => {
  const {x, y, width, height} = document.querySelector(selector).getBoundingClientRect();
  return {x: x + scrollX, y: y + scrollY, width, height};
})
"""

# Words at the edge of the page are gone after some seconds, in which a busy machine may not get to look.
LISTEN = """
window.told = [];
addEventListener("DOMContentLoaded", () => {
  const note = (changes) => {
    for (const {addedNodes} of changes) for (const node of addedNodes) told.push(node.textContent);
  };
  for (const place of document.querySelectorAll("#toasts, #alerts")) {
    new MutationObserver(note).observe(place, {childList: true});
  }
});
"""


class Window:
    """A page that is open. `complaints` are errors of its scripts, and what the console warned of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"{error}\n{error.stack}"))
        page.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        # Requests that fail while an agent is down, or that the test refuses, are no faults of the page.
        network = ("Failed to load resource", "WebSocket connection to")
        if message.type in ("error", "warning") and not message.text.startswith(network):
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def __getitem__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def hears(self, words: str) -> None:
        """Wait until the page has said this at its edge since it was loaded, be it gone again or not."""
        eventually(lambda: any(words in one for one in self.page.evaluate("told")), f"the page to say {words!r}")

    def state(self, word: str) -> None:
        """Wait until the chip in the head says this."""
        expect(self["#state"]).to_have_text(word)

    def picture(self, camera: str) -> str | None:
        """What a camera's tile shows now: `film` or `pictures`, and a number that differs by picture."""
        found: str | None = self.page.evaluate(_PICTURE, camera)
        return found

    def watch(self, camera: str, kind: str, pictures: int = 4) -> None:
        """Wait until a camera has shown so many different pictures by this kind of source."""
        seen: set[str] = set()

        def enough() -> bool:
            shown = self.picture(camera)
            if shown is not None and shown.startswith(kind):
                seen.add(shown)
            return len(seen) >= pictures

        eventually(enough, f"{pictures} different pictures of {camera} as {kind}; seen: {len(seen)}")

    def places(self, *selectors: str) -> list[dict[str, float]]:
        """The boxes of elements on the page (`x`, `y`, `width`, `height`), all of the same moment."""
        boxes: list[dict[str, float]] = self.page.evaluate(_PLACES, list(selectors))
        return boxes

    def is_too_wide(self) -> bool:
        """Whether one would have to scroll sideways."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return wide


def serious(window: Window) -> list[tuple[str, list[str]]]:
    """What axe finds that seriously hinders people: its name for it, and where."""
    window.page.evaluate(_AXE)
    found: list[dict[str, Any]] = window.page.evaluate(_JUDGE)
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
