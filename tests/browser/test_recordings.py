from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import OpenWindow
from tests.browser.window import Window
from tests.fakes.agent import RunningAgent, eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

CAMERAS = ("cam0", "cam1")

# The instant that each camera's picture in the player shows, and from which file.
_SHOWN = """
() => [...document.querySelectorAll(".player .tile")].map(tile => {
  const video = tile.querySelector("video.front");
  const {path, pushed} = video.dataset;
  const {currentTime: at, duration, readyState: ready, paused} = video;
  return {path, at, left: duration - at, ready, playing: !paused, pushed: path && pushed === path};
})
"""

# Pushes the second camera's picture back once in each file that it plays.
_PUSH_EACH_NEW_FILE = """
() => document.addEventListener("timeupdate", ({target}) => {
  const second = document.querySelectorAll(".player .tile")[1];
  const {path, pushed} = target.dataset;
  if (!second?.contains(target) || !target.classList.contains("front")) return;
  if (pushed === path || target.seeking || target.currentTime < 0.8) return;
  target.dataset.pushed = path;
  target.currentTime -= 0.8;
}, true)
"""


def record(agent: RunningAgent, files: int) -> None:
    """Record on both cameras until so many files of each are stored."""
    wanted = len(agent.stored("cam1")) + files
    agent.do("start", "dual-640")
    eventually(lambda: len(agent.stored("cam1")) >= wanted - 1, "stored segments")
    agent.do("stop")
    agent.wait_for_state("idle")


@pytest.fixture(scope="module")
def footage(agent: RunningAgent) -> RunningAgent:
    """Two recordings of two cameras, some seconds each, with a stop between."""
    record(agent, 3)
    record(agent, 2)
    return agent


@pytest.fixture
def more(footage: RunningAgent) -> Iterator[RunningAgent]:
    """The same with a third recording, which is gone afterwards with all that the test has recorded."""
    before = {path for camera in CAMERAS for path in footage.stored(camera)}
    record(footage, 2)
    yield footage
    footage.do("stop")
    footage.do("unlock", {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"})
    for path in {path for camera in CAMERAS for path in footage.stored(camera)} - before:
        path.unlink()


def takes(window: Window) -> Locator:
    return window[".take"]


def probe(path: Path | str) -> tuple[str, float]:
    """Codec and seconds of a file."""
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "json", str(path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=30).stdout)
    return told["streams"][0]["codec_name"], float(told["format"]["duration"])


def drag(window: Window, first: float, last: float) -> None:
    """Drag over the timeline from one part of its width to another."""
    strip = window[".strip"]
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box is not None
    window.page.mouse.move(box["x"] + box["width"] * first, box["y"] + 50)
    window.page.mouse.down()
    window.page.mouse.move(box["x"] + box["width"] * (first + last) / 2, box["y"] + 50)
    window.page.mouse.move(box["x"] + box["width"] * last, box["y"] + 50)
    window.page.mouse.up()


def beginnings(window: Window) -> dict[str, float]:
    """When each recording began, in seconds, by its path."""
    listed = window.page.request.get("/api/recordings").json()["recordings"]
    return {one["path"]: datetime.fromisoformat(one["started_at"]).timestamp() for one in listed}


def test_stored_footage_plays_over_file_borders_with_both_cameras_in_step(
    footage: RunningAgent, open_window: OpenWindow
) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    window[".take .thumb"].last.click()
    files: list[set[str]] = [set(), set()]

    def watched() -> bool:
        shown = window.page.evaluate(_SHOWN)
        if len(shown) == 2 and all(one["playing"] and one["ready"] >= 2 for one in shown):
            for known, one in zip(files, shown, strict=True):
                known.add(one["path"])
        return all(len(known) >= 2 for known in files)

    eventually(watched, "two files of each camera, one after the other")
    window["#play"].click()
    expect(window["#play"]).to_have_accessible_name("Play")


def test_a_camera_that_falls_out_of_step_is_brought_back(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    began = beginnings(window)
    window.page.evaluate(_PUSH_EACH_NEW_FILE)
    window[".take .thumb"].last.click()

    def in_step() -> bool:
        shown = window.page.evaluate(_SHOWN)
        if not shown or not any(one["playing"] for one in shown):
            # It came to its end before the machine came to look.
            window.page.evaluate("document.querySelectorAll('video').forEach(video => delete video.dataset.pushed)")
            window[".take .thumb"].last.click()
        # At the end of its file the first one waits for the second in any case.
        if len(shown) < 2 or not (shown[0]["path"] and (shown[0]["left"] or 0) > 0.4 and shown[1]["pushed"]):
            return False
        first, second = (began[one["path"]] + float(one["at"]) for one in shown)
        return abs(first - second) < 0.3

    eventually(in_step, "both cameras to show the same instant in a file in which the second was pushed back")


def test_a_range_that_is_dragged_is_saved_as_one_playable_file(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    drag(window, 0.02, 0.98)
    expect(window[".clip .summary"]).to_contain_text("about")
    window[".clip"].get_by_role("checkbox", name="cam1").uncheck()
    with window.page.expect_download() as started:
        window["#clip-save"].click()
    window.hears("Clip saved")
    assert re.fullmatch(r"clip_cam0_\d{8}T\d{6}Z\.mp4", started.value.suggested_filename)
    codec, duration_s = probe(started.value.path())
    whole_s = sum(probe(path)[1] for path in footage.stored("cam0"))
    assert codec == "h264"
    assert whole_s * 0.6 < duration_s < whole_s + 3


def test_saving_a_clip_shows_its_progress_and_can_be_cancelled(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    drag(window, 0.02, 0.98)
    network = window.page.context.new_cdp_session(window.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": 30_000, "uploadThroughput": 30_000}
    network.send("Network.emulateNetworkConditions", slow)
    window["#clip-save"].click()
    expect(window[".clip progress"]).to_be_visible()
    expect(window[".clip .work"]).to_contain_text(re.compile(r"cam0: [1-9]\d? %"))
    window[".clip .work"].get_by_role("button", name="Cancel").click()
    window.hears("Saving was cancelled")
    expect(window[".clip progress"]).to_be_hidden()


def test_what_is_kept_is_not_deleted_and_deleting_asks_first(more: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    newest = takes(window).first
    newest.get_by_role("button", name="Keep", exact=True).click()
    expect(newest.locator("h4")).to_contain_text("kept")
    listed = window.page.request.get("/api/recordings?locked=true").json()["recordings"]
    assert len(listed) >= 2
    newest.get_by_role("button", name=re.compile("^Delete")).click()
    window.hears("Release them first")

    newest.get_by_role("button", name="Release", exact=True).click()
    window.page.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(newest.get_by_role("button", name="Keep", exact=True)).to_be_visible()

    gone = [more.root / one["path"] for one in listed]
    assert all(path.exists() for path in gone)
    newest.get_by_role("button", name=re.compile("^Delete")).click()
    window.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(takes(window)).to_have_count(3)
    newest.get_by_role("button", name=re.compile("^Delete")).click()
    window.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(takes(window)).to_have_count(2)
    assert not any(path.exists() for path in gone)


def test_files_are_checked_and_the_damaged_one_is_named(more: RunningAgent, open_window: OpenWindow) -> None:
    damaged = more.stored("cam1")[-1]
    os.truncate(damaged, damaged.stat().st_size // 2)
    window = open_window("recordings")
    expect(takes(window)).to_have_count(3)
    window.button("Check files").click()
    expect(window[".found"]).to_have_text(re.compile(r"^\d+ files checked, 1 damaged · cam1 [\d:]{8} \w.*$"))


def test_checking_files_shows_its_progress_and_can_be_cancelled(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    window.page.route("**/api/verify/**", hold)
    with window.page.expect_request("**/api/verify/**"):
        window.button("Check files").click()
    work = window[".takes-work"]
    expect(work.get_by_role("progressbar")).to_be_visible()
    expect(work).to_contain_text(re.compile(r"0 of \d+ checked"))
    work.get_by_role("button", name="Cancel").click()
    held[0].continue_()
    expect(window[".found"]).to_have_text("1 file checked, all sound.")
    expect(work).to_be_hidden()
    assert len(held) == 1


def test_a_gap_tells_why_nothing_was_recorded(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(window[".gap"].first).to_have_text(re.compile("not recorded: stopped by a command"))


def test_a_gap_of_a_restart_is_not_blamed_on_the_camera(more: RunningAgent, open_window: OpenWindow) -> None:
    more.do("start", "dual-640")
    more.stop()
    more.start()
    more.wait_for_segments("cam1", 1)
    more.do("stop")
    window = open_window("recordings")
    expect(window[".gap"].first).to_have_text(re.compile("not recorded: the agent was restarted"))


def test_what_is_recorded_while_one_looks_appears_by_itself(more: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(3)
    more.do("start", "cam1-640")
    expect(takes(window)).to_have_count(4)
    expect(takes(window).first).to_contain_text("cam1-640")


def test_the_timeline_is_usable_with_keys_alone(footage: RunningAgent, open_window: OpenWindow) -> None:
    window = open_window("recordings")
    expect(takes(window)).to_have_count(2)
    strip = window[".strip"]
    strip.focus()
    strip.press("Home")
    first = int(min(beginnings(window).values()) + 0.5)
    expect(strip).to_have_attribute("aria-valuenow", str(first))
    strip.press("Shift+ArrowRight")
    expect(strip).to_have_attribute("aria-valuenow", str(first + 1))
    strip.press("[")
    strip.press("Shift+ArrowRight")
    strip.press("Shift+ArrowRight")
    strip.press("]")
    expect(window[".clip .summary"]).to_have_text(re.compile(r"^2 s"))
