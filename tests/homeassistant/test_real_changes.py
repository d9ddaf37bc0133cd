"""The device changes and goes in a real Home Assistant: cameras, modes, groups, layouts, and all of it."""

from __future__ import annotations

import json
import subprocess

from edge_agent.app.homeassistant import ANNOUNCED_NAME, device_of
from edge_agent.app.previews import CAMERA_OFF
from edge_agent.config import load
from edge_agent.mqtt.discovery import discovery_document
from tests.fakes.agent import eventually
from tests.homeassistant.home import DEVICE, ROOT, Home

ONE_CAMERA = '[[cameras]]\nid = "cam0"\n'
NIGHT = "[modes.night]\nwidth = 800\nheight = 600\n"
SECOND_CAMERAS = {f"sensor.{DEVICE}_cam1_state", f"camera.{DEVICE}_cam1_preview", f"image.{DEVICE}_cam1_snapshot"}


def known(home: Home) -> set[str]:
    """Every entity of the device that Home Assistant remembers, also disabled and orphaned ones."""
    entries = home.assistant.ask({"type": "config/entity_registry/list"})
    return {one["entity_id"] for one in entries if one["platform"] == "mqtt"}


def devices(home: Home) -> list[str]:
    found = home.assistant.ask({"type": "config/device_registry/list"})
    return [one["name"] for one in found if one["manufacturer"] == "edge_agent"]


def restart_with(home: Home, more: str = "", *, enabled: bool = True) -> None:
    home.agent.stop()
    home.agent.configure(more, enabled=enabled)
    home.agent.start()


def wait_until_only_the_first_camera_is_known(home: Home) -> None:
    home.wait(lambda: not any("_cam1_" in name for name in known(home)), lambda: f"known: {sorted(known(home))}", 60)
    assert not any("_cam1_" in name for name in home.states())
    assert f"sensor.{DEVICE}_cam0_state" in known(home)
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")


def wait_until_both_cameras_are_there(home: Home) -> None:
    home.wait(
        lambda: home.states().keys() >= SECOND_CAMERAS and not home.unwell(), lambda: f"unavailable: {home.unwell()}"
    )


def test_a_removed_cameras_entities_vanish_and_come_back_with_it(home: Home) -> None:
    restart_with(home, ONE_CAMERA)
    wait_until_only_the_first_camera_is_known(home)
    restart_with(home)
    wait_until_both_cameras_are_there(home)
    home.wait(lambda: home.preview("cam1") == CAMERA_OFF, lambda: "no picture of the camera that came back")


def test_a_camera_that_was_removed_while_home_assistant_was_away_vanishes_too(home: Home) -> None:
    home.assistant.stop()
    restart_with(home, ONE_CAMERA)
    home.broker.retained(f"blackbox/{DEVICE}/availability")
    home.assistant.start()
    wait_until_only_the_first_camera_is_known(home)
    restart_with(home)
    wait_until_both_cameras_are_there(home)


def test_a_new_mode_can_be_selected(home: Home) -> None:
    restart_with(home, NIGHT)
    home.wait(
        lambda: "night" in home.states()[f"select.{DEVICE}_mode"].attributes.get("options", []),
        lambda: "the mode is not offered",
    )
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")
    home.assistant.call("select.select_option", f"select.{DEVICE}_mode", option="night")
    home.wait_until_shown(f"select.{DEVICE}_mode", "night")
    restart_with(home)
    home.wait_until_shown(f"select.{DEVICE}_mode", "dual-640")


def test_discovery_that_is_switched_off_takes_the_device_away_and_on_brings_it_back(home: Home) -> None:
    before = known(home)
    restart_with(home, enabled=False)
    home.wait(
        lambda: not known(home) and not devices(home), lambda: f"known: {sorted(known(home))} {devices(home)}", 60
    )
    assert home.broker.retained("homeassistant/#") == {}
    restart_with(home)
    home.wait(lambda: known(home) == before, lambda: f"differs: {sorted(known(home) ^ before)}")
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")


def test_what_was_switched_off_while_home_assistant_was_away_goes_when_it_comes_back(home: Home) -> None:
    before = known(home)
    home.assistant.stop()
    restart_with(home, enabled=False)
    eventually(lambda: home.broker.retained("homeassistant/#") == {}, "the document is gone")
    home.assistant.start()
    assert known(home) == before  # which Home Assistant has kept, and nothing that is there would take from it
    home.wait(
        lambda: not known(home) and not devices(home), lambda: f"known: {sorted(known(home))} {devices(home)}", 60
    )
    restart_with(home)
    home.wait(lambda: known(home) == before, lambda: f"differs: {sorted(known(home) ^ before)}")
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")


def test_the_command_line_takes_the_device_away(home: Home) -> None:
    home.agent.stop()
    subprocess.run(home.agent.command("discovery", "remove"), cwd=ROOT, capture_output=True, timeout=60, check=True)
    home.wait(
        lambda: not known(home) and not devices(home), lambda: f"known: {sorted(known(home))} {devices(home)}", 60
    )
    assert home.broker.retained("homeassistant/#") == {}
    home.agent.start()
    wait_until_both_cameras_are_there(home)


def test_a_layout_of_one_topic_for_each_entity_moves_with_its_ids_and_names(home: Home) -> None:
    home.agent.stop()
    subprocess.run(home.agent.command("discovery", "remove"), cwd=ROOT, capture_output=True, timeout=60, check=True)
    home.wait(lambda: not known(home), lambda: f"known: {sorted(known(home))}")
    device = device_of(load(home.agent.directory / "edge-agent.toml", {}), None)
    document = discovery_document(device)
    parts = document["components"]
    earlier = {}
    for key in ("recording", "cpu", "mode"):
        component = parts[key] | {"device": document["device"], "origin": document["origin"]}
        topic = f"homeassistant/{component.pop('platform')}/edge_agent_{DEVICE}/{key}/config"
        earlier[topic] = component | {"availability": document["availability"]}
    earlier[f"homeassistant/sensor/edge_agent_{DEVICE}/voltage/config"] = parts["cpu"] | {
        "unique_id": f"edge_agent_{DEVICE}.voltage",
        "object_id": "van7_voltage",
        "default_entity_id": "sensor.van7_voltage",
        "device": document["device"],
    }
    for topic, component in earlier.items():
        home.broker.publish(topic, json.dumps(component), retain=True)
    home.wait(lambda: len(known(home)) == 4, lambda: f"known: {sorted(known(home))}")
    renaming = {"type": "config/entity_registry/update", "entity_id": f"sensor.{DEVICE}_cpu"}
    home.assistant.ask(renaming | {"name": "My own"})
    (home.agent.directory / "state" / ANNOUNCED_NAME).unlink()  # which an agent of that time has not written
    home.agent.start()
    wait_until_both_cameras_are_there(home)
    # Newer versions put the device's name before it, as before any other.
    assert home.states()[f"sensor.{DEVICE}_cpu"].attributes["friendly_name"] in {"My own", "Van 7 My own"}
    assert not [name for name in known(home) if name.endswith("_2")]
    home.wait(lambda: f"sensor.{DEVICE}_voltage" not in known(home), lambda: "what is no more is still there")
    assert list(home.broker.retained("homeassistant/#")) == [f"homeassistant/device/edge_agent_{DEVICE}/config"]
