"""The shipped files against what the agent announces and accepts; a real Home Assistant loads them in `test_real_*`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_agent.config import Config
from edge_agent.core.commands import Verb
from edge_agent.mqtt.component import Device
from edge_agent.mqtt.discovery import MANUFACTURER, discovery_document
from edge_agent.wire.bodies import BODIES, COMMON_KEYS, keys_of

SHIPPED = Path(__file__).parents[2] / "homeassistant"
DASHBOARD = SHIPPED / "dashboards/edge-agent.yaml"
PACKAGE = SHIPPED / "packages/edge_agent.yaml"
BLUEPRINTS = sorted((SHIPPED / "blueprints").rglob("*.yaml"))
README = SHIPPED / "README.md"

CONFIG = Config()
DOCUMENT = discovery_document(
    Device(
        id="van7",
        name="Van 7",
        version="1",
        cameras=CONFIG.camera_list(),
        modes=tuple(CONFIG.mode_table().values()),
    )
)
VERB = re.compile(r"/cmd/(\w+)|commands }}/(\w+)")
ORDER = re.compile(r"\{\{ (\{'.*?\}) \| tojson \}\}", re.DOTALL)
"""A command's JSON as a template writes it."""
KEY = re.compile(r"'(\w+)': ")


def enabled_entities() -> set[str]:
    return {
        part["default_entity_id"]
        for part in DOCUMENT["components"].values()
        if "default_entity_id" in part and part.get("enabled_by_default", True)
    }


def named_entities(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z_]+\.van7_\w+", text))


def orders(text: str) -> list[tuple[Verb, set[str]]]:
    """The commands that a file sends: each order's keys, with the verb that stands nearest to it."""
    verbs = [(found.start(), Verb(found[1] or found[2])) for found in VERB.finditer(text)]
    return [
        (min(verbs, key=lambda place: abs(place[0] - order.start()))[1], set(KEY.findall(order[1])))
        for order in ORDER.finditer(text)
    ]


def test_the_dashboard_shows_what_is_announced_and_enabled() -> None:
    named = named_entities(DASHBOARD.read_text())
    assert len(named) > 30
    assert named - enabled_entities() == set()


def test_an_entity_that_is_not_announced_is_found() -> None:
    assert named_entities("entity: sensor.van7_cam0_verified") - enabled_entities() == {"sensor.van7_cam0_verified"}


@pytest.mark.parametrize("path", [PACKAGE, *BLUEPRINTS], ids=lambda path: path.stem)
def test_a_file_sends_commands_that_the_agent_takes(path: Path) -> None:
    text = path.read_text()
    sent = orders(text)
    assert sent or "cmd" not in text
    wrong = [(verb, keys - {*keys_of(BODIES[verb]), *COMMON_KEYS}) for verb, keys in sent]
    assert [one for one in wrong if one[1]] == []


def test_all_blueprints_but_two_send_commands_of_their_own() -> None:
    """What the test before would pass by finding nothing: the alert sends none, presence uses the switch."""
    assert {path.stem: len(orders(path.read_text())) for path in BLUEPRINTS} == {
        "alert": 0,
        "follow_presence": 0,
        "record_on_trigger": 1,
        "save_last_minutes": 1,
        "start_fleet": 1,
    }
    assert [verb for verb, _ in orders(PACKAGE.read_text())] == [Verb.CLIP, Verb.LOCK, Verb.UNLOCK]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_says_what_it_needs(path: Path) -> None:
    text = path.read_text()
    assert "min_version: 2025.4.0" in text
    assert 'name: "Blackbox: ' in text
    assert set(re.findall(r"manufacturer: (\w+)", text)) <= {MANUFACTURER}
    for prefix in re.findall(r"regex_replace\('\^(\w+)', ''\)", text):
        assert DOCUMENT["device"]["identifiers"] == [f"{prefix}van7"]


def test_the_readme_names_every_file() -> None:
    text = README.read_text()
    named = [DASHBOARD, PACKAGE, *BLUEPRINTS, *(SHIPPED / "pictures").iterdir()]
    assert [path.name for path in named if path.relative_to(SHIPPED).as_posix() not in text] == []
