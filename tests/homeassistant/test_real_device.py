"""A real Home Assistant finds the device, shows it as it should, and each control works."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from edge_agent.app.previews import CAMERA_OFF
from edge_agent.core.problems import LIVE_VIEW_REDUCED
from tests.homeassistant.home import DEVICE, ROOT, Home

NUMBER = r"-?\d+(\.\d+)?"
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+]00:00"
UNKNOWN = "unknown"
JPEG = b"\xff\xd8"

IDLE = {
    "switch.van7_recording": "off",
    "switch.van7_stream": "off",
    "select.van7_mode": "dual-640",
    "number.van7_duration": "0",
    "button.van7_snapshot": UNKNOWN,
    "button.van7_lock": UNKNOWN,
    "button.van7_restart": UNKNOWN,
    "button.van7_announce": UNKNOWN,
    "sensor.van7_state": "idle",
    "sensor.van7_started": UNKNOWN,
    "sensor.van7_ends": UNKNOWN,
    "sensor.van7_selected_mode": "dual-640",
    "sensor.van7_last_command": "none",
    "sensor.van7_cpu": NUMBER,
    "sensor.van7_memory": NUMBER,
    "sensor.van7_temperature": f"{NUMBER}|{UNKNOWN}",
    "sensor.van7_last_boot": INSTANT,
    "sensor.van7_agent_memory": NUMBER,
    "sensor.van7_agent_started": INSTANT,
    "sensor.van7_disk_free": NUMBER,
    "sensor.van7_disk_used": NUMBER,
    "sensor.van7_hours_left": NUMBER,
    "sensor.van7_recordings_size": NUMBER,
    "sensor.van7_recordings_locked": NUMBER,
    "sensor.van7_oldest": UNKNOWN,
    "sensor.van7_version": r"\d+\.\d+\.\d+.*",
    "sensor.van7_groups": "vans",
    "binary_sensor.van7_problem": "off|on",  # a busy machine is one
    "binary_sensor.van7_connection": "on",
    "binary_sensor.van7_simulated": "on",
    "binary_sensor.van7_under_voltage": f"off|{UNKNOWN}",
    "binary_sensor.van7_throttled": f"off|on|{UNKNOWN}",
    "event.van7_event": f"{UNKNOWN}|.*",
} | {
    entity.format(camera): state
    for camera in ("cam0", "cam1")
    for entity, state in {
        "binary_sensor.van7_{}_running": "off",
        "binary_sensor.van7_{}_problem": "off",
        "sensor.van7_{}_state": "stopped",
        "sensor.van7_{}_segment": "none",
        "sensor.van7_{}_fps": NUMBER,
        "sensor.van7_{}_bitrate": NUMBER,
        "sensor.van7_{}_viewers": NUMBER,
        "image.van7_{}_snapshot": UNKNOWN,
        "camera.van7_{}_preview": "idle",
    }.items()
}
"""What an idle device shows, before anybody did anything: every entity that is enabled by default."""

DISABLED = {
    "binary_sensor.van7_clock_synchronized": "on|off",
    "sensor.van7_load": NUMBER,
    "sensor.van7_memory_available": NUMBER,
    "sensor.van7_agent_cpu": NUMBER,
    "sensor.van7_network_received": f"{NUMBER}|{UNKNOWN}",
    "sensor.van7_network_sent": f"{NUMBER}|{UNKNOWN}",
    "sensor.van7_write_rate": NUMBER,
    "sensor.van7_sync_time": NUMBER,
    "sensor.van7_recordings_count": NUMBER,
}
"""What a person may enable, and shows then."""

TRIGGERS = {
    "recording_started",
    "recording_stopped",
    "segment_stored",
    "snapshot_taken",
    "clip_ready",
    "camera_fault",
    "camera_recovered",
    "storage_low",
    "storage_full",
}


def wrong(home: Home, table: dict[str, str]) -> dict[str, str | None]:
    """What of `table` is not so."""
    states = home.states()
    return {
        name: states[name].state if name in states else None
        for name, pattern in table.items()
        if name not in states or re.fullmatch(pattern, states[name].state) is None
    }


def test_the_device_is_there_with_every_entity_in_a_sensible_state(home: Home) -> None:
    home.wait(lambda: not wrong(home, IDLE), lambda: f"wrong: {wrong(home, IDLE)}")
    assert home.states().keys() == IDLE.keys()


@pytest.mark.parametrize("camera", ["cam0", "cam1"])
def test_a_camera_that_is_off_is_shown_as_that(home: Home, camera: str) -> None:
    home.wait(lambda: home.preview(camera) == CAMERA_OFF, lambda: f"no picture of {camera}, or another")


def test_the_device_says_what_it_is_and_offers_its_triggers(home: Home) -> None:
    devices = home.assistant.ask({"type": "config/device_registry/list"})
    (device,) = [one for one in devices if one["id"] == home.device_id()]
    assert (device["name"], device["manufacturer"]) == ("Van 7", "edge_agent")
    assert device["sw_version"] == home.assistant.state("sensor.van7_version")
    offered = home.assistant.ask({"type": "device_automation/trigger/list", "device_id": device["id"]})
    assert {one["type"] for one in offered if one["domain"] == "mqtt"} == TRIGGERS


def test_figures_have_long_term_statistics_and_nothing_ticks_in_attributes(home: Home) -> None:
    states = home.states()
    statistics = [name for name, one in states.items() if one.attributes.get("state_class") == "measurement"]
    assert {"sensor.van7_cpu", "sensor.van7_disk_free", "sensor.van7_cam0_bitrate"} <= set(statistics)
    assert states["sensor.van7_state"].attributes.keys() >= {"mode", "label"}
    assert "verified_until" not in json.dumps([one.attributes for one in states.values()])


def test_the_recording_switch_makes_the_agent_record_and_stop(home: Home) -> None:
    home.assistant.call("switch.turn_on", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "on")
    running = {
        "sensor.van7_state": "recording",
        "sensor.van7_started": INSTANT,
        "sensor.van7_last_command": "record succeeded",
        "binary_sensor.van7_cam0_running": "on",
        "binary_sensor.van7_cam1_running": "on",
        "sensor.van7_cam0_state": "running",
        "sensor.van7_cam0_segment": r"640x480/cam0/.*\.mp4",
        "sensor.van7_cam0_fps": NUMBER,
        "switch.van7_stream": "off",
        "event.van7_event": INSTANT.replace("[+]", r"\.\d+[+]"),
    }
    home.wait(lambda: not wrong(home, running), lambda: f"wrong: {wrong(home, running)}")
    state = home.states()["sensor.van7_state"]
    assert (state.attributes["mode"], state.attributes["label"]) == ("dual-640", None)
    home.assistant.call("switch.turn_off", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "off")
    home.wait_until_shown("sensor.van7_state", "idle")
    assert list((home.agent.directory / "recordings/640x480/cam0").glob("*.mp4"))
    home.wait(lambda: re.fullmatch(INSTANT, home.states()["sensor.van7_oldest"].state), lambda: "no oldest recording")


def test_the_live_view_switch_starts_live_view_without_recording(home: Home) -> None:
    home.assistant.call("switch.turn_on", "switch.van7_stream")
    home.wait_until_shown("switch.van7_stream", "on")
    home.wait_until_shown("sensor.van7_state", "streaming")
    assert home.assistant.state("switch.van7_recording") == "off"
    home.assistant.call("switch.turn_off", "switch.van7_stream")
    home.wait_until_shown("switch.van7_stream", "off")


def test_live_view_is_refused_while_recording_and_the_switch_stays_off(home: Home) -> None:
    home.assistant.call("switch.turn_on", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "on")
    home.wait_until_shown("sensor.van7_last_command", "record succeeded")  # or it would be the last one later
    home.assistant.call("switch.turn_on", "switch.van7_stream")
    home.wait_until_shown("sensor.van7_last_command", "stream rejected (already_recording)")
    assert home.assistant.state("switch.van7_stream") == "off"
    home.assistant.call("switch.turn_off", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "off")


def test_mode_and_duration_are_chosen_and_count_for_the_next_recording(home: Home) -> None:
    home.assistant.call("select.select_option", "select.van7_mode", option="cam1-720p")
    home.assistant.call("number.set_value", "number.van7_duration", value=600)
    home.wait_until_shown("select.van7_mode", "cam1-720p")
    home.wait_until_shown("sensor.van7_selected_mode", "cam1-720p")
    home.wait_until_shown("number.van7_duration", "600")
    home.assistant.call("switch.turn_on", "switch.van7_recording")
    home.wait_until_shown("sensor.van7_cam1_state", "running")
    shown = {"sensor.van7_ends": INSTANT, "sensor.van7_cam0_state": "stopped"}
    home.wait(lambda: not wrong(home, shown), lambda: f"wrong: {wrong(home, shown)}")
    home.assistant.call("switch.turn_off", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "off")
    home.assistant.call("select.select_option", "select.van7_mode", option="dual-640")
    home.assistant.call("number.set_value", "number.van7_duration", value=0)
    home.wait_until_shown("number.van7_duration", "0")


@pytest.mark.parametrize("camera", ["cam0", "cam1"])
def test_pictures_come_as_snapshot_and_as_preview(home: Home, camera: str) -> None:
    image = f"image.van7_{camera}_snapshot"
    before = home.assistant.state(image)
    home.assistant.call("button.press", "button.van7_snapshot")
    home.wait(lambda: home.assistant.state(image) != before, lambda: "no snapshot")
    assert home.assistant.picture(f"/api/image_proxy/{image}").startswith(JPEG)
    home.assistant.call("switch.turn_on", "switch.van7_stream")
    home.wait_until_shown("switch.van7_stream", "on")
    home.wait(lambda: home.preview(camera).startswith(JPEG), lambda: "no preview")
    home.assistant.call("switch.turn_off", "switch.van7_stream")
    home.wait_until_shown("switch.van7_stream", "off")


def test_the_lock_button_keeps_the_last_minutes(home: Home) -> None:
    home.assistant.call("button.press", "button.van7_lock")
    home.wait_until_shown("sensor.van7_last_command", "lock succeeded")
    home.wait(
        lambda: home.states()["event.van7_event"].attributes["event_type"] == "segment_locked",
        lambda: "no event of the lock",
    )


def test_the_restart_button_restarts_the_agent(home: Home) -> None:
    started = home.assistant.state("sensor.van7_agent_started")
    home.assistant.call("button.press", "button.van7_restart")
    home.wait(
        lambda: home.assistant.state("sensor.van7_agent_started") not in {started, "unavailable"} and not home.unwell(),
        lambda: f"not back: {home.unwell()}",
    )


def test_a_device_trigger_fires_when_a_recording_starts(home: Home) -> None:
    offered = home.assistant.ask({"type": "device_automation/trigger/list", "device_id": home.device_id()})
    (trigger,) = [one for one in offered if one.get("type") == "recording_started"]
    trigger.pop("metadata", None)
    automation = {
        "alias": "started",
        "triggers": [trigger],
        "actions": [{"action": "persistent_notification.create", "data": {"message": "It records"}}],
    }
    home.assistant.post("/api/config/automation/config/started", automation)
    home.wait_until_shown("automation.started", "on")
    home.assistant.call("switch.turn_on", "switch.van7_recording")
    home.wait(
        lambda: home.assistant.states()["automation.started"].attributes["last_triggered"],
        lambda: "the trigger did not fire",
    )
    home.assistant.call("switch.turn_off", "switch.van7_recording")
    home.wait_until_shown("switch.van7_recording", "off")


def test_the_problem_sensor_tells_a_retained_command_and_forgets_it(home: Home) -> None:
    topic = f"blackbox/{DEVICE}/cmd/start"
    home.broker.publish(topic, "dual-640", retain=True)
    home.agent.restart()
    home.wait(lambda: any(topic in told for told in problems(home)), lambda: f"told: {problems(home)}")
    assert home.assistant.state("binary_sensor.van7_problem") == "on"
    home.broker.publish(topic, retain=True)
    home.agent.restart()
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")
    assert not any(topic in told for told in problems(home))


def test_reduced_live_view_is_listed_and_no_alarm(home: Home) -> None:
    topic = f"blackbox/{DEVICE}/status"
    document = json.loads(home.broker.retained(topic)[topic])
    reduced = {"code": LIVE_VIEW_REDUCED, "message": "the processor is busy", "since": document["at"]}
    for others, state in (([], "off"), ([reduced | {"code": "disk_full"}], "on")):
        home.broker.publish(topic, json.dumps(document | {"problems": [reduced, *others]}), retain=True)
        home.wait(lambda: len(problems(home)) == len(others) + 1, lambda: f"told: {problems(home)}")  # noqa: B023
        home.wait_until_shown("binary_sensor.van7_problem", state)
    home.send("announce")
    home.wait(lambda: "the processor is busy" not in problems(home), lambda: f"told: {problems(home)}")


def problems(home: Home) -> list[str]:
    """The messages of the problem sensor."""
    attributes = home.states()["binary_sensor.van7_problem"].attributes
    return [problem["message"] for problem in attributes.get("problems", [])]


def test_the_command_line_shows_the_document_that_home_assistant_has(home: Home) -> None:
    done = subprocess.run(
        home.agent.command("discovery", "show"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    topic = f"homeassistant/device/edge_agent_{DEVICE}/config"
    assert json.loads(done.stdout) == json.loads(home.broker.retained(topic)[topic])


def test_what_is_seldom_looked_at_is_disabled_and_works_when_enabled(home: Home) -> None:
    """Stands at the end: half a minute after an entity was enabled Home Assistant reloads the whole integration."""
    entries = home.assistant.ask({"type": "config/entity_registry/list"})
    disabled = {entry["entity_id"] for entry in entries if entry["disabled_by"] and entry["platform"] == "mqtt"}
    assert disabled == DISABLED.keys()
    enabling = [
        {"type": "config/entity_registry/update", "entity_id": name, "disabled_by": None} for name in sorted(disabled)
    ]
    home.assistant.ask(*enabling)
    home.wait(lambda: not wrong(home, DISABLED), lambda: f"wrong: {wrong(home, DISABLED)}", 90)
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")
