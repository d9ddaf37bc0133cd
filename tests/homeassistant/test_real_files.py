"""A real Home Assistant loads the shipped dashboard, package and blueprints, and each does what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.homeassistant.home import DEVICE, SHIPPED, Home

BLUEPRINTS = sorted(path.stem for path in (SHIPPED / "blueprints/automation/edge_agent").glob("*.yaml"))
SWITCH = f"switch.{DEVICE}_recording"


@pytest.fixture(scope="module", autouse=True)
def _sensors(home: Home) -> None:
    """What starts the automations: helpers that can be switched."""
    for name in ("door", "shock", "early"):
        home.assistant.ask({"type": "input_boolean/create", "name": name})
        home.wait_until_shown(f"input_boolean.{name}", "off")


@pytest.fixture(autouse=True)
def _idle(home: Home) -> Iterator[None]:
    """Each test ends with no automation and nothing recorded."""
    yield
    for name in [one for one in home.assistant.states() if one.startswith("automation.")]:
        home.assistant.call("automation.turn_off", name)
    home.send("stop")
    home.wait_until_shown(f"sensor.{DEVICE}_state", "idle")


def named_entities(value: Any) -> set[str]:
    """Every entity id of our device in a nest of JSON values."""
    return set(re.findall(rf"\b[a-z_]+\.{DEVICE}_[a-z0-9_]+", json.dumps(value)))


def push(home: Home, name: str) -> None:
    home.assistant.call("input_boolean.turn_on", f"input_boolean.{name}")


def pushed(name: str) -> list[dict[str, Any]]:
    return [{"trigger": "state", "entity_id": f"input_boolean.{name}", "to": "on"}]


def notifications(home: Home) -> dict[str, str]:
    """The notifications by their titles."""
    found = home.assistant.ask({"type": "persistent_notification/get"})
    return {one["title"]: one["message"] for one in found}


def test_the_dashboard_is_loaded_and_all_its_entities_exist(home: Home) -> None:
    dashboard = home.assistant.ask({"type": "lovelace/config", "url_path": "edge-agent"})
    named = named_entities(dashboard)
    assert len(named) > 30
    assert named - home.states().keys() == set()


def test_home_assistant_takes_every_blueprint(home: Home) -> None:
    found = home.assistant.ask({"type": "blueprint/list", "domain": "automation"})
    ours = {path: one for path, one in found.items() if path.startswith("edge_agent/")}
    assert sorted(path.removeprefix("edge_agent/").removesuffix(".yaml") for path in ours) == BLUEPRINTS
    assert [one for one in ours.values() if "error" in one] == []


def test_a_door_that_opens_starts_a_recording_of_the_wanted_length(home: Home) -> None:
    home.automate(
        "on_door",
        "record_on_trigger",
        sensors=["input_boolean.door"],
        recorders=[home.device_id()],
        duration={"minutes": 3},
        label="door",
    )
    push(home, "door")
    home.wait_until_shown(SWITCH, "on")
    home.wait(lambda: home.states()[f"sensor.{DEVICE}_state"].attributes["label"] == "door", lambda: "no label")
    states = home.states()
    started, ends = (datetime.fromisoformat(states[f"sensor.{DEVICE}_{one}"].state) for one in ("started", "ends"))
    assert ends - started == timedelta(minutes=3)


def test_an_event_locks_what_was_before_it_and_takes_snapshots(home: Home) -> None:
    home.automate(
        "on_shock",
        "save_last_minutes",
        happenings=pushed("shock"),
        recorders=[home.device_id()],
        before={"minutes": 2},
        label="shock",
        further_actions=[{"action": "persistent_notification.create", "data": {"title": "saved", "message": "it is"}}],
    )
    home.assistant.call("switch.turn_on", SWITCH)
    home.wait_until_shown(f"sensor.{DEVICE}_cam0_state", "running")
    image = home.assistant.state(f"image.{DEVICE}_cam0_snapshot")
    push(home, "shock")
    home.wait(lambda: "saved" in notifications(home), lambda: "the further action was not done")
    home.wait(lambda: home.assistant.state(f"image.{DEVICE}_cam0_snapshot") != image, lambda: "no snapshot")
    home.wait(lambda: locked(home, "shock"), lambda: "nothing is locked")


def locked(home: Home, label: str) -> list[str]:
    """What the archive's own notes say is locked under a label."""
    journals = (home.agent.directory / "recordings").rglob("*")
    return [str(path) for path in journals if path.is_file() and path.suffix != ".mp4" and label in text_of(path)]


def text_of(path: Any) -> str:
    return str(path.read_text(errors="replace"))


def test_a_problem_is_told_with_its_message(home: Home) -> None:
    home.automate(
        "watch",
        "alert",
        problems=[f"binary_sensor.{DEVICE}_problem", f"binary_sensor.{DEVICE}_cam0_problem"],
        connections=[f"binary_sensor.{DEVICE}_connection"],
        hours_left=[f"sensor.{DEVICE}_hours_left"],
        patience={"seconds": 0},
    )
    home.broker.publish(f"blackbox/{DEVICE}/cmd/start", "dual-640", retain=True)
    home.agent.restart()
    home.wait(lambda: "retained" in notifications(home).get("Van 7", ""), lambda: f"told: {notifications(home)}")
    home.broker.publish(f"blackbox/{DEVICE}/cmd/start", retain=True)
    home.agent.restart()
    home.wait(lambda: not home.unwell(), lambda: f"unavailable: {home.unwell()}")


def test_it_records_when_the_last_one_left_and_stops_at_return(home: Home) -> None:
    for person in ("anna", "bert"):
        move(home, person, "home")
    home.automate(
        "away",
        "follow_presence",
        people=["device_tracker.anna", "device_tracker.bert"],
        recording_switches=[SWITCH],
        away_for={"seconds": 0},
    )
    move(home, "anna", "not_home")
    home.wait(lambda: triggered(home, "away") == 1, lambda: "it did not look when the first one left")
    assert home.assistant.state(SWITCH) == "off"
    move(home, "bert", "not_home")
    home.wait_until_shown(SWITCH, "on")
    move(home, "anna", "home")
    home.wait_until_shown(SWITCH, "off")


def move(home: Home, person: str, to: str) -> None:
    home.assistant.post(f"/api/states/device_tracker.{person}", {"state": to})


def triggered(home: Home, name: str) -> int:
    """How often an automation has run to its end."""
    traces = home.assistant.ask({"type": "trace/list", "domain": "automation", "item_id": name})
    return len([one for one in traces if one["state"] == "stopped"])


@pytest.mark.parametrize("group", ["vans", "all"])
def test_a_group_starts_at_one_instant(home: Home, group: str) -> None:
    home.assistant.call("input_boolean.turn_off", "input_boolean.early")
    home.automate(f"fleet_{group}", "start_fleet", start_triggers=pushed("early"), group=group, lead=1)
    push(home, "early")
    home.wait_until_shown(SWITCH, "on")
    assert home.states()[f"sensor.{DEVICE}_state"].attributes["label"] == "fleet"


def test_the_devices_of_a_label_start(home: Home) -> None:
    label = home.assistant.ask({"type": "config/label_registry/create", "name": "Cars"})["label_id"]
    update = {"type": "config/device_registry/update", "device_id": home.device_id(), "labels": [label]}
    home.assistant.ask(update)
    home.assistant.call("input_boolean.turn_off", "input_boolean.early")
    home.automate(
        "fleet_label",
        "start_fleet",
        start_triggers=pushed("early"),
        labels=[label],
        lead=0,
        duration={"minutes": 0},
        recording_mode="cam1-640",
    )
    push(home, "early")
    home.wait_until_shown(f"sensor.{DEVICE}_cam1_state", "running")
    assert home.states()[f"sensor.{DEVICE}_state"].attributes["mode"] == "cam1-640"


def test_the_scripts_make_a_clip_and_keep_and_release_footage(home: Home) -> None:
    home.assistant.call("switch.turn_on", SWITCH)
    home.wait_until_shown(f"sensor.{DEVICE}_cam0_state", "running")
    home.wait(lambda: stored(home), lambda: "no segment was stored")
    recorder = {"recorder": home.device_id()}
    home.assistant.post("/api/services/script/edge_agent_clip", recorder | {"camera": "cam0", "minutes": 1})
    home.wait(lambda: "Van 7: clip of cam0" in notifications(home), lambda: f"told: {notifications(home)}", 60)
    assert re.search(r"clips/.*\.mp4", notifications(home)["Van 7: clip of cam0"])
    home.assistant.post("/api/services/script/edge_agent_lock", recorder | {"minutes": 1, "label": "mine"})
    home.wait(lambda: "Van 7: keep footage" in notifications(home), lambda: f"told: {notifications(home)}", 60)
    assert "locked" in notifications(home)["Van 7: keep footage"]
    home.assistant.post("/api/services/script/edge_agent_unlock", recorder | {"label": "mine"})
    home.wait_until_shown(f"sensor.{DEVICE}_last_command", "unlock succeeded")


def test_a_clip_of_nothing_is_told_too(home: Home) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    window = {"begin": long_ago.strftime("%Y-%m-%d %H:%M:%S"), "end": long_ago.strftime("%Y-%m-%d 23:59:59")}
    asked = {"recorder": home.device_id(), "camera": "cam1"} | window
    home.assistant.post("/api/services/script/edge_agent_clip", asked)
    home.wait(lambda: "Van 7: clip of cam1" in notifications(home), lambda: f"told: {notifications(home)}", 60)
    assert "no footage" in notifications(home)["Van 7: clip of cam1"]


def stored(home: Home) -> list[Any]:
    return list((home.agent.directory / "recordings").glob("*/cam0/*.mp4"))
