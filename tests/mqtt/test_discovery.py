"""The discovery document against its golden copy, against what Home Assistant demands, and the plans around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import Config
from edge_agent.core.commands import Verb
from edge_agent.core.model import (
    NAME_PATTERN,
    RESERVED_NAMES,
    Camera,
    CameraState,
    DeviceState,
    EventType,
    Mode,
    Profile,
    Purpose,
    Step,
)
from edge_agent.mqtt.component import Device
from edge_agent.mqtt.discovery import (
    Plan,
    Publication,
    announced,
    announcement,
    discovery_document,
    discovery_topic,
    earlier_topics,
    migration,
    paced,
    removal_steps,
    withdrawal,
)
from edge_agent.mqtt.topics import CameraTopic, CommandTopic, DeviceKind, DeviceTopic, TopicTree

GOLDEN = Path(__file__).parent / "golden" / "discovery.json"
"""Made by `python -m tests.mqtt.test_discovery`; a difference is a change that users of Home Assistant see."""

CONFIG = Config()
VAN = Device(
    id="van-7",
    name="Van 7",
    version="1.2.3",
    cameras=(Camera("cam0", 0, "Front"), Camera("cam1", 1, "cam1")),
    modes=tuple(CONFIG.mode_table().values()),
    url="http://192.168.1.50:8080/",
    support_url="https://example.com/edge_agent",
    model="Raspberry Pi 5 Model B Rev 1.0",
    serial="10000000abcdef01",
)


def golden_text() -> str:
    return json.dumps(discovery_document(VAN), indent=1, ensure_ascii=False) + "\n"


# -- what Home Assistant demands, from its sources of 2024.11 to 2026.11 -----------------------------------------------

Document = dict[str, Any]
Rule = Callable[[Document], Iterator[str]]
"""Takes a document and yields what is wrong with it."""

PLATFORMS = {
    "binary_sensor",
    "button",
    "camera",
    "device_automation",
    "event",
    "image",
    "number",
    "select",
    "sensor",
    "switch",
}
DEVICE_KEYS = {
    "identifiers",
    "name",
    "manufacturer",
    "model",
    "serial_number",
    "sw_version",
    "configuration_url",
}
UNITS = {
    "data_rate": {"Mbit/s"},
    "data_size": {"GB", "MB"},
    "duration": {"s", "ms", "h"},
    "temperature": {"°C"},
}
WITHOUT_UNIT = {"enum", "timestamp"}
TICKING = ("at", "uptime_s", "verified_until", "fps", "segment", "restarts", "free_bytes")
OF_CAMERA = re.compile("cam[01]_")
COMMANDED = {"switch", "button", "select", "number"}


def entities(document: Document) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, component in document["components"].items():
        if component["platform"] != "device_automation":
            yield key, component


def opens_a_closed_part(document: Document) -> Iterator[str]:
    for part, known in (
        (document, {"device", "origin", "components", "availability"}),
        (document["device"], DEVICE_KEYS),
        (document["origin"], {"name", "sw_version", "support_url"}),
    ):
        yield from (f"unknown key {key}" for key in part.keys() - known)
    for url in (document["device"].get("configuration_url"), document["origin"].get("support_url")):
        if url is not None and not re.match("https?://", url):
            yield f"{url} has no scheme"


def lacks_what_is_required(document: Document) -> Iterator[str]:
    if not document["device"].get("identifiers") or not document["origin"].get("name"):
        yield "the device or the origin has no identity"
    for key, component in document["components"].items():
        if component.get("platform") not in PLATFORMS:
            yield f"{key} has no known platform"
        if component.get("qos") != 1:
            yield f"{key} has not QoS 1"
        if component.get("retain"):
            yield f"{key} sends retained commands"
        if ("command_topic" in component) != (component["platform"] in COMMANDED):
            yield f"{key} has a command where none belongs, or none"


def has_a_bad_identity(document: Document) -> Iterator[str]:
    device = document["device"]["identifiers"][0]
    seen = set()
    for key, component in document["components"].items():
        if not re.fullmatch("[a-zA-Z0-9_-]+", key):
            yield f"{key} could not stand in a topic"
        identity = component.get("unique_id")
        if (identity is None) != (component["platform"] == "device_automation"):
            yield f"{key} has a unique id where none belongs, or none"
        elif identity is not None and (identity != f"{device}.{key}" or identity in seen):
            yield f"{key} has the unique id {identity}"
        seen.add(identity)


def has_a_bad_entity_id(document: Document) -> Iterator[str]:
    for key, component in entities(document):
        asked = component.get("default_entity_id"), component.get("object_id")
        if asked != (None, None) and asked[0] != f"{component['platform']}.{asked[1]}":
            yield f"{key} asks for {asked}"
        if asked[1] is not None and not re.fullmatch("[a-z0-9_]+", asked[1]):
            yield f"{key} asks for {asked[1]}"


def has_a_bad_name(document: Document) -> Iterator[str]:
    device = document["device"]["name"].casefold().split()
    names = [component["name"] for _, component in entities(document)]
    if names.count(None) != 1 or document["components"]["recording"]["name"] is not None:
        yield "not the recording switch alone has the device's name"
    for name in names:
        if name is not None and (not name or name.casefold().split()[: len(device)] == device):
            yield f"{name!r} is empty or says the device's name again"


def has_a_bad_category(document: Document) -> Iterator[str]:
    for key, component in entities(document):
        if component["platform"] in {"sensor", "binary_sensor"} and component.get("entity_category") == "config":
            yield f"{key} is a sensor of the category config"


def reads_badly(document: Document) -> Iterator[str]:
    for key, component in document["components"].items():
        template = component.get("value_template", "")
        kind = component.get("device_class")
        numeric = "unit_of_measurement" in component or "state_class" in component
        if numeric and "default('')" not in template:
            yield f"{key} gives no empty text for what is missing"
        if component["platform"] == "sensor" and kind in WITHOUT_UNIT and "none" not in template:
            yield f"{key} gives no None for what is missing"
        if "this.state" in template and "as_timestamp(this.state, none)" not in template:
            yield f"{key} takes a state for a value that may be the text unavailable"


def has_a_bad_class(document: Document) -> Iterator[str]:
    for key, component in entities(document):
        kind, unit = component.get("device_class"), component.get("unit_of_measurement")
        if kind in WITHOUT_UNIT and (unit or "state_class" in component):
            yield f"{key} counts a {kind}"
        if kind in UNITS and unit not in UNITS[kind]:
            yield f"{key} measures {kind} in {unit}"
        if (kind == "enum") != ("options" in component) and component["platform"] == "sensor":
            yield f"{key} has options without an enum, or none"
        if unit and component["platform"] == "sensor" and component.get("state_class") != "measurement":
            yield f"{key} has no long-term statistics"


def grows_stale_or_does_not(document: Document) -> Iterator[str]:
    for key, component in entities(document):
        telemetry = component.get("state_topic", "").endswith("/telemetry")
        if telemetry != ("expire_after" in component):
            yield f"{key} expires where it must not, or does not"


def ticks_in_attributes(document: Document) -> Iterator[str]:
    for key, component in entities(document):
        template = component.get("json_attributes_template")
        if ("json_attributes_topic" in component) != (template is not None):
            yield f"{key} takes whole documents for attributes"
        if template and (not template.endswith("| tojson }}") or re.search(rf"\.({'|'.join(TICKING)})\b", template)):
            yield f"{key} has ticking attributes, or none that are JSON"


def stays_after_its_camera(document: Document) -> Iterator[str]:
    """Home Assistant forgets which message a disabled entity came from, and takes it away with the device only."""
    for key, component in entities(document):
        if OF_CAMERA.match(key) and not component.get("enabled_by_default", True):
            yield f"{key} is disabled and would stay when its camera goes"


def speaks_to_nobody(document: Document) -> Iterator[str]:
    base, device, _ = document["availability"][0]["topic"].rsplit("/", 2)
    tree = TopicTree(base)
    for key, component in document["components"].items():
        for option, text in component.items():
            if option.endswith("topic"):
                match tree.parse(text):
                    case CommandTopic(to, verb) if option == "command_topic" and to == device and verb in set(Verb):
                        pass
                    case DeviceTopic(to) | CameraTopic(to) if option != "command_topic" and to == device:
                        pass
                    case _:
                        yield f"{key} has {text} as its {option}"


RULES: tuple[Rule, ...] = (
    opens_a_closed_part,
    lacks_what_is_required,
    has_a_bad_identity,
    has_a_bad_entity_id,
    has_a_bad_name,
    has_a_bad_category,
    reads_badly,
    has_a_bad_class,
    grows_stale_or_does_not,
    ticks_in_attributes,
    stays_after_its_camera,
    speaks_to_nobody,
)


def faults(document: Document) -> list[str]:
    return [fault for rule in RULES for fault in rule(document)]


def broken(change: str) -> Document:
    """The document with one component's options changed, as `key.option=JSON`; without `=` the option is taken out."""
    document = deepcopy(discovery_document(VAN))
    path, _, value = change.partition("=")
    *steps, last = path.split(".")
    part = document
    for step in steps:
        part = part[step]
    if value:
        part[last] = json.loads(value)
    else:
        del part[last]
    return document


# -- devices of any kind ----------------------------------------------------------------------------------------------

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: name not in RESERVED_NAMES)
titles = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
steps = st.just((Step(Profile(640, 480, 30)),))


def reads_like_an_entity(title: str) -> bool:
    """Whether a device of this name, such as `Mode`, would be called like something of ours whatever we call it."""
    ours = [component["name"] or "" for _, component in entities(discovery_document(VAN))]
    words = title.casefold().split()
    return any(name.casefold().split()[: len(words)] == words for name in ours)


@st.composite
def devices(draw: st.DrawFn) -> Device:
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    mode_names = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    return Device(
        id=draw(names),
        name=draw(titles.filter(lambda title: not reads_like_an_entity(title))),
        version="1",
        cameras=tuple(Camera(one, index, draw(titles)) for index, one in enumerate(ids)),
        modes=tuple(Mode(one, tuple(ids), draw(st.sampled_from(Purpose)), draw(steps)) for one in mode_names),
        base_topic=draw(st.sampled_from(["blackbox", "site/blackbox"])),
        url=draw(st.sampled_from([None, "http://10.0.0.1:80/", "10.0.0.1"])),
        suggest_entity_ids=draw(st.booleans()),
        telemetry_interval_s=draw(st.floats(1, 86400)),
        previews=draw(st.booleans()),
    )


def messages(plan: Plan) -> list[tuple[str, Any, bool]]:
    return [(one.topic, json.loads(one.payload) if one.payload else None, one.retain) for one in plan]


# -- tests ------------------------------------------------------------------------------------------------------------


def test_the_document_is_the_golden_one() -> None:
    assert golden_text() == GOLDEN.read_text(encoding="utf-8")


def test_the_document_keeps_every_rule() -> None:
    assert faults(discovery_document(VAN)) == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (opens_a_closed_part, '~="blackbox"'),
        (opens_a_closed_part, "device.uptime=5"),
        (opens_a_closed_part, 'device.configuration_url="192.168.1.50:8080"'),
        (opens_a_closed_part, 'origin.url="https://example.com"'),
        (lacks_what_is_required, "device.identifiers=[]"),
        (lacks_what_is_required, 'components.cpu.platform="thermometer"'),
        (lacks_what_is_required, "components.cpu.qos"),
        (lacks_what_is_required, "components.recording.retain=true"),
        (lacks_what_is_required, "components.mode.command_topic"),
        (has_a_bad_identity, "components.cpu.unique_id"),
        (has_a_bad_identity, 'components.cpu.unique_id="cpu"'),
        (has_a_bad_identity, 'components.trigger_camera_fault.unique_id="x"'),
        (has_a_bad_entity_id, 'components.cpu.default_entity_id="cpu"'),
        (has_a_bad_entity_id, "components.cpu.object_id"),
        (has_a_bad_name, 'components.cpu.name="Van 7 CPU"'),
        (has_a_bad_name, 'components.recording.name="Recording"'),
        (has_a_bad_category, 'components.cpu.entity_category="config"'),
        (reads_badly, 'components.cpu.value_template="{{ value_json.cpu_percent }}"'),
        (reads_badly, 'components.state.value_template="{{ value_json.state }}"'),
        (reads_badly, """components.cpu.value_template="{{ value_json.x | default('') or this.state }}\""""),
        (has_a_bad_class, 'components.disk_free.unit_of_measurement="%"'),
        (has_a_bad_class, 'components.started.state_class="measurement"'),
        (has_a_bad_class, "components.state.options"),
        (has_a_bad_class, "components.cpu.state_class"),
        (grows_stale_or_does_not, "components.cpu.expire_after"),
        (grows_stale_or_does_not, "components.state.expire_after=90"),
        (ticks_in_attributes, "components.state.json_attributes_template"),
        (ticks_in_attributes, """components.state.json_attributes_template="{{ {'a': value_json.at} | tojson }}\""""),
        (stays_after_its_camera, "components.cam0_fps.enabled_by_default=false"),
        (speaks_to_nobody, 'components.mode.command_topic="blackbox/van-7/cmd/select"'),
        (speaks_to_nobody, 'components.mode.command_topic="blackbox/van-8/cmd/mode"'),
        (speaks_to_nobody, 'components.cpu.state_topic="blackbox/van-7/+"'),
    ],
)
def test_a_document_that_breaks_a_rule_is_found(rule: Rule, change: str) -> None:
    assert list(rule(broken(change))) != []


@given(devices())
def test_whatever_device_cameras_and_modes_are_called_every_rule_is_kept(device: Device) -> None:
    assert faults(discovery_document(device)) == []


@given(devices(), devices())
def test_two_devices_share_no_identity(one: Device, other: Device) -> None:
    ids = [{component["unique_id"] for _, component in entities(discovery_document(device))} for device in (one, other)]
    assert one.id == other.id or not ids[0] & ids[1]


def test_an_id_that_ends_like_the_start_of_a_key_is_no_other_device() -> None:
    """`van` with a camera `7_cam0` and `van_7` with a camera `cam0`."""
    one = replace(VAN, id="van", cameras=(Camera("7_cam0", 0, "x"),))
    other = replace(VAN, id="van_7", cameras=(Camera("cam0", 0, "x"),))
    ids = [{part["unique_id"] for _, part in entities(discovery_document(device))} for device in (one, other)]
    assert not ids[0] & ids[1]


@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_no_camera_takes_a_key_of_the_device_or_of_another_camera(ids: list[str]) -> None:
    def keys(cameras: list[str]) -> set[str]:
        device = replace(VAN, cameras=tuple(Camera(one, index, one) for index, one in enumerate(cameras)))
        return set(announced(discovery_document(device)))

    without = keys([])
    own = [keys([one]) - without for one in ids]
    assert all(len(keys_of_one) == len(own[0]) for keys_of_one in own)
    assert len(keys(ids)) == len(without) + sum(map(len, own))


def test_no_key_of_the_device_ends_like_a_cameras() -> None:
    """What keeps a camera called `disk` from taking `disk_free`: no kind of a camera's is the end of another key."""
    without = set(announced(discovery_document(replace(VAN, cameras=()))))
    kinds = {
        key.removeprefix("x") for key in announced(discovery_document(replace(VAN, cameras=(Camera("x", 0, "x"),))))
    }
    of_camera = {kind for kind in kinds if kind.startswith("_")}
    assert len(of_camera) == 9
    assert [key for key in without if any(key.endswith(kind) for kind in of_camera)] == []


def test_every_verb_of_a_dashboard_has_its_entity() -> None:
    commanded = {
        component["command_topic"].rsplit("/", 1)[1]: component["platform"]
        for _, component in entities(discovery_document(VAN))
        if "command_topic" in component
    }
    assert commanded == {
        "record": "switch",
        "stream": "switch",
        "mode": "select",
        "duration": "number",
        "snapshot": "button",
        "lock": "button",
        "restart": "button",
        "announce": "button",
    }


def test_states_and_events_are_those_of_the_core() -> None:
    parts = discovery_document(VAN)["components"]
    assert parts["state"]["options"] == [state.value for state in DeviceState]
    assert parts["cam0_state"]["options"] == [state.value for state in CameraState]
    assert parts["event"]["event_types"] == [event_type.value for event_type in EventType]
    assert parts["mode"]["options"] == list(CONFIG.mode_table())


def test_figures_of_a_camera_need_the_camera_and_its_trouble_needs_the_agent_alone() -> None:
    parts = discovery_document(VAN)["components"]
    both = [{"topic": "blackbox/van-7/availability"}, {"topic": "blackbox/van-7/cam0/availability"}]
    for key in ("cam0_fps", "cam0_bitrate", "cam0_preview"):
        assert (parts[key]["availability"], parts[key]["availability_mode"]) == (both, "all")
    for key in ("cam0_running", "cam0_problem", "cam0_state", "cam0_snapshot"):
        assert "availability" not in parts[key]


def test_without_previews_there_is_no_camera_entity() -> None:
    platforms = announced(discovery_document(replace(VAN, previews=False))).values()
    assert "camera" not in platforms
    assert "image" in platforms


def test_entity_ids_are_left_to_home_assistant_when_asked() -> None:
    parts = discovery_document(replace(VAN, suggest_entity_ids=False))["components"]
    assert [key for key, part in parts.items() if {"object_id", "default_entity_id"} & part.keys()] == []


def test_an_address_that_is_no_link_is_left_out() -> None:
    document = discovery_document(replace(VAN, url="192.168.1.50:8080", support_url=None, serial=None))
    assert {"configuration_url", "serial_number"} & document["device"].keys() == set()
    assert "support_url" not in document["origin"]


def test_figures_last_for_three_intervals_rounded_up() -> None:
    parts = discovery_document(replace(VAN, telemetry_interval_s=2.5))["components"]
    assert parts["cpu"]["expire_after"] == 8


def test_what_did_not_change_is_announced_by_one_retained_message() -> None:
    document = discovery_document(VAN)
    topic = "homeassistant/device/edge_agent_van-7/config"
    assert discovery_topic("homeassistant", "van-7") == topic
    assert messages(announcement("homeassistant", VAN, announced(document))) == [(topic, document, True)]


def test_a_camera_that_went_is_announced_once_more_then_taken_away_then_left_out() -> None:
    before = announced(discovery_document(VAN))
    device = replace(VAN, cameras=VAN.cameras[:1])
    left = discovery_document(device)
    (_, again, _), (_, away, _), (_, out, retained) = messages(announcement("homeassistant", device, before))
    gone = before.keys() - left["components"].keys()
    assert all(key.startswith("cam1_") for key in gone)
    assert {key: part for key, part in again["components"].items() if key not in gone} == left["components"]
    assert all(again["components"][key]["unique_id"] == f"edge_agent_van-7.{key}" for key in gone)
    assert {key: away["components"][key] for key in gone} == {key: {"platform": before[key]} for key in gone}
    assert (out, retained) == (left, True)
    assert faults(again | {"components": left["components"]}) == []


def test_a_component_that_changed_its_platform_is_taken_away_first() -> None:
    before = announced(discovery_document(VAN)) | {"cpu": "number"}
    again, away = messages(removal_steps("homeassistant", VAN, before))
    assert again[1]["components"]["cpu"]["command_topic"] == "blackbox/van-7/result"
    assert away[1]["components"]["cpu"] == {"platform": "number"}


@given(devices(), devices())
def test_removal_names_what_vanished_and_keeps_the_rest(old: Device, new: Device) -> None:
    new = replace(new, id=old.id)
    before, now = announced(discovery_document(old)), announced(discovery_document(new))
    plan = messages(announcement("homeassistant", new, before))
    assert announced(plan[-1][1]) == now
    if now.items() >= before.items():
        assert len(plan) == 1
    else:
        away = plan[1][1]["components"]
        assert {key for key, part in away.items() if len(part) == 1} == {
            key for key, platform in before.items() if now.get(key) != platform
        }


def test_two_messages_of_one_topic_are_apart_and_a_pause_serves_all_topics() -> None:
    plan = tuple(Publication(topic, b"") for topic in ("a", "b", "a", "b", "c", "c", "a"))
    assert [settles for _, settles in paced(plan)] == [False, False, True, False, False, True, False]


def test_a_device_that_is_withdrawn_leaves_nothing() -> None:
    before = {"old_thing": "sensor"}
    (topic, whole, _), cleared = messages(withdrawal("homeassistant", VAN, before))
    assert whole["components"].keys() == discovery_document(VAN)["components"].keys() | before.keys()
    assert cleared == (topic, None, True)


def test_topics_of_one_entity_each_are_left_and_cleared_before_the_document_takes_over() -> None:
    found = [
        "homeassistant/switch/edge_agent_van-7/recording/config",
        "homeassistant/sensor/edge_agent_van-7/voltage/config",
        "homeassistant/sensor/edge_agent_van-8/cpu/config",
        "homeassistant/device/edge_agent_van-7/config",
        "other/switch/edge_agent_van-7/recording/config",
    ]
    plan = messages(migration("homeassistant", VAN, found))
    own = found[:2]
    assert earlier_topics("homeassistant", "van-7") == "homeassistant/+/edge_agent_van-7/+/config"
    assert plan[:2] == [(topic, {"migrate_discovery": True}, False) for topic in own]
    assert plan[2:4] == [(topic, None, True) for topic in own]
    assert plan[4][1]["components"].keys() == discovery_document(VAN)["components"].keys() | {"voltage"}
    assert plan[6][1]["components"]["voltage"] == {"platform": "sensor"}
    assert plan[-1] == (discovery_topic("homeassistant", "van-7"), discovery_document(VAN), True)


def test_without_earlier_topics_nothing_is_migrated() -> None:
    assert migration("homeassistant", VAN, ["homeassistant/device/edge_agent_van-7/config"]) == ()


def test_stubs_of_all_platforms_have_what_home_assistant_demands() -> None:
    before = {f"old_{platform}": platform for platform in PLATFORMS}
    again, _ = messages(removal_steps("homeassistant", VAN, before))
    topic = VAN.topic(DeviceKind.RESULT)
    for platform in PLATFORMS:
        stub = again[1]["components"][f"old_{platform}"]
        assert topic in stub.values()
        assert ("unique_id" in stub) == (platform != "device_automation")


if __name__ == "__main__":
    GOLDEN.write_text(golden_text(), encoding="utf-8")
