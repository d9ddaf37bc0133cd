"""The live picture in a real Home Assistant by its own MJPEG integration, with the device's credentials."""

from __future__ import annotations

from typing import Any

from tests.homeassistant.home import DEVICE, VIEWER_TOKEN, Home
from tests.homeassistant.installation import Refused

JPEG = b"\xff\xd8"


def fill_in(home: Home, password: str) -> dict[str, Any]:
    """Fill in the form of the integration as the README says, and return what it answers."""
    page = f"http://127.0.0.1:{home.agent.web_port}"
    form = {
        "name": "Van 7 live",
        "mjpeg_url": f"{page}/stream/cam0",
        "still_image_url": f"{page}/snapshot/cam0.jpg",
        "username": "homeassistant",
        "password": password,
        "verify_ssl": True,
    }
    flow = home.assistant.post("/api/config/config_entries/flow", {"handler": "mjpeg"})
    answer: dict[str, Any] = home.assistant.post(f"/api/config/config_entries/flow/{flow['flow_id']}", form)
    return answer


def picture(home: Home) -> bytes:
    """The camera's picture; empty while it has none."""
    try:
        return home.assistant.picture("/api/camera_proxy/camera.van_7_live")
    except Refused:
        return b""


def test_a_wrong_password_is_told_in_the_form(home: Home) -> None:
    assert fill_in(home, "something-else-and-wrong")["errors"] == {"username": "invalid_auth"}


def test_the_form_makes_a_camera_that_shows_pictures_idle_and_recording(home: Home) -> None:
    assert fill_in(home, VIEWER_TOKEN)["type"] == "create_entry"
    home.wait(lambda: picture(home).startswith(JPEG), lambda: "no picture of an idle camera", 60)
    home.assistant.call("switch.turn_on", f"switch.{DEVICE}_recording")
    home.wait_until_shown(f"sensor.{DEVICE}_cam0_state", "running")
    home.wait(lambda: picture(home).startswith(JPEG), lambda: "no picture of a recording camera", 60)
    stream = home.assistant.beginning("/api/camera_proxy_stream/camera.van_7_live", 60_000)
    assert stream.count(b"Content-Type: image/jpeg") >= 2
    home.assistant.call("switch.turn_off", f"switch.{DEVICE}_recording")
    home.wait_until_shown(f"switch.{DEVICE}_recording", "off")
