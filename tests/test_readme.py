"""The README against the code: every topic, key, route, verb, code, state, event, mode and command, in both directions.

What is missing and what the code does not know is listed by name.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config
from edge_agent.cli.arguments import parser
from edge_agent.core.commands import Origin, Verb
from edge_agent.core.model import CameraState, Code, DeviceState, EventType, Now, ResultStatus
from edge_agent.core.recorder import TRANSITIONS
from edge_agent.mqtt.topics import CameraKind, CommandTopic, DeviceKind, GroupTopic, TopicTree
from edge_agent.web.openapi import openapi
from edge_agent.wire.bodies import BODIES, COMMON_KEYS
from edge_agent.wire.bodies import keys_of as json_keys_of
from edge_agent.wire.decode import decode_command
from edge_agent.wire.schema import components
from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mosquitto import Mosquitto

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PROSE = FENCED.sub("", README)
QUOTED = set(re.findall(r"`([^`\n]+)`", PROSE))
"""Everything between backticks outside of code blocks."""
BLOCKS = FENCED.findall(README)
SHELL_LINES = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines() if line.strip()]
DEVICE = "van7"
TREE = TopicTree("blackbox")


def table(first_cell: str) -> list[list[str]]:
    """The rows of the table whose header begins with this cell."""
    rows: list[list[str]] = []
    inside = False
    for line in PROSE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not cells:
            inside = False
        elif inside and not set(line) <= set("|-: "):
            rows.append(cells)
        inside = inside or cells[:1] == [first_cell]
    assert rows, f"README has no table that begins with {first_cell!r}"
    return rows


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def assert_same(readme: set[Any], code: set[Any], what: str) -> None:
    missing, unknown = sorted(code - readme), sorted(readme - code)
    assert not missing, f"{what} that README does not name: {missing}"
    assert not unknown, f"{what} in README that the code does not know: {unknown}"


# -- commands ---------------------------------------------------------------------------------------------------------


def test_the_table_of_verbs_has_every_verb_with_its_keys() -> None:
    rows = {quoted(row[0])[0]: row for row in table("verb")}
    assert_same(set(rows), set(Verb), "verbs")
    for verb, body in BODIES.items():
        keys = set(quoted(rows[verb][2]))
        assert_same(keys - {"640", "720p", "1080p"}, set(json_keys_of(body)), f"JSON keys of {verb}")


def test_every_common_key_of_a_command_is_named() -> None:
    assert {key for key in COMMON_KEYS if key != "v" and key not in QUOTED} == set()


@pytest.mark.parametrize("values", [Code, ResultStatus, DeviceState, CameraState, EventType], ids=lambda v: v.__name__)
def test_every_word_of_the_contract_is_named(values: type[StrEnum]) -> None:
    missing = sorted(set(values) - QUOTED)
    assert not missing, f"{values.__name__} that README does not name: {missing}"


def test_every_word_that_is_named_is_known() -> None:
    """A word of the contract that was renamed or misspelt is in no vocabulary any more."""
    words = {word for word in QUOTED if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", word)}
    fields = set(re.findall(r"'([a-z_0-9]+)'", str(components()))) | set(
        re.findall(r"'([a-z_0-9]+)'", str(openapi("1")))
    )
    values = {value for kind in (Code, EventType, DeviceState, CameraState, Verb) for value in kind}
    keys = {part for key in config.all_keys() for part in key.path}
    assert words - fields - values - keys - {path.name for path in ROOT.iterdir()} == set()


def test_every_mosquitto_pub_line_is_a_command_that_is_understood() -> None:
    seen = 0
    for topic, payload in publications():
        parsed = TREE.parse(topic)
        assert isinstance(parsed, CommandTopic | GroupTopic), topic
        now = Now(mono_s=1.0, wall=datetime(2026, 1, 1, tzinfo=UTC))
        command = decode_command(
            parsed.verb, payload.encode(), received=now, origin=Origin.MQTT, new_id=lambda: "generated"
        )
        assert command.refusal is None, f"{topic} {payload}: {command.refusal}"
        seen += 1
    assert seen > 0


def publications() -> Iterator[tuple[str, str]]:
    """Topic and payload of every line that publishes something; it is for one device."""
    options = argparse.ArgumentParser()
    options.add_argument("-t", required=True)
    content = options.add_mutually_exclusive_group(required=True)
    content.add_argument("-m", default="")
    content.add_argument("-n", action="store_true")
    for line in SHELL_LINES:
        words = shlex.split(line, comments=True)
        if words[:1] == ["mosquitto_pub"]:
            known, _ = options.parse_known_args(words[1:])
            yield known.t.replace("DEVICE", DEVICE), known.m


@pytest.mark.slow
def test_every_mosquitto_pub_line_succeeds_in_its_order(tmp_path: Path) -> None:
    lines = [line for line in SHELL_LINES if line.startswith("mosquitto_pub ")]
    with Mosquitto(tmp_path / "broker") as broker, RunningAgent(tmp_path / DEVICE, broker, device=DEVICE) as agent:
        agent.start()
        for number, line in enumerate(lines, 1):
            here = f"mosquitto_pub -p {broker.port} -h {broker.host} {line.removeprefix('mosquitto_pub ')}"
            subprocess.run(["sh", "-c", here.replace("DEVICE", DEVICE)], check=True, timeout=30)
            eventually(lambda: len(finals(agent)) >= number, f"the answer to: {line}")  # noqa: B023 - called here
        answers = [(answer["verb"], answer["status"], answer["message"]) for answer in finals(agent)]
        assert [answer for answer in answers if answer[1] != "succeeded"] == []


def finals(agent: RunningAgent) -> list[dict[str, Any]]:
    return [heard.document for heard in agent.heard("result") if heard.document["status"] != "accepted"]


# -- state ------------------------------------------------------------------------------------------------------------


def test_the_table_of_topics_has_every_topic_and_its_retain_flag() -> None:
    rows = {quoted(row[0])[0]: row[1] for row in table("topic")}
    published = {f"blackbox/DEVICE/{kind}" for kind in DeviceKind} | {
        f"blackbox/DEVICE/CAMERA/{kind}" for kind in CameraKind
    }
    assert_same(set(rows), published, "topics")
    transient = {"event", "result", "preview"}
    wrong = {topic: told for topic, told in rows.items() if (told == "yes") == (topic.rsplit("/")[-1] in transient)}
    assert wrong == {}


@pytest.mark.parametrize("topic", sorted({word for word in QUOTED if word.startswith("blackbox/")}))
def test_every_topic_that_is_named_is_one(topic: str) -> None:
    filled = topic.replace("DEVICE", DEVICE).replace("GROUP", "vans").replace("CAMERA", "cam0").replace("VERB", "start")
    filled = filled.replace("{device}", DEVICE).replace("{camera}", "cam0").replace("...", "start")
    assert TREE.parse(filled) is not None or filled.endswith("/#"), topic


def test_the_table_of_modes_has_every_mode() -> None:
    named = {mode for row in table("mode") for mode in quoted(row[0])}
    assert_same(named, set(config.parse({}).mode_table()), "modes")


# -- HTTP -------------------------------------------------------------------------------------------------------------


def test_the_table_of_routes_has_every_route() -> None:
    named = {word for row in table("method and path") for word in quoted(row[0])}
    named = {re.sub(r"\?.*", "", word) for word in named if "/" in word}
    described = {
        f"{method.upper()} {path}"
        for path, methods in openapi("1")["paths"].items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"} and not re.fullmatch(r"/api/blackbox/(?!status).*", path)
    }
    assert_same(named, described | {"GET /", "POST /api/blackbox/{verb}"}, "routes")


# -- configuration and command line -----------------------------------------------------------------------------------


def test_the_table_of_keys_is_that_of_the_code() -> None:
    wanted = config.describe(config.all_keys()).splitlines()
    here = README.splitlines()
    missing = [line for line in wanted if line not in here]
    assert missing == [], "README lacks rows of edge_agent.config.describe(all_keys())"
    assert_same({quoted(row[0])[0] for row in table("key")}, {quoted(row)[0] for row in wanted[2:]}, "keys")


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"EDGE_AGENT__\w+", README))))
def test_every_variable_that_is_named_is_a_key(variable: str) -> None:
    parts = variable.lower().split("__")[1:]
    patterns = [key.path for key in config.all_keys()]
    assert any(
        len(path) == len(parts) and all(a in (b, "*", "[]") for a, b in zip(path, parts, strict=True))
        for path in patterns
    )


def commands(parsed: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, by its whole name."""
    groups = [action for action in parsed._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield above.strip(), parsed
    for group in groups:
        for name, inner in group.choices.items():
            yield from commands(inner, f"{above} {name}")


def test_the_table_of_commands_has_every_command() -> None:
    named = set()
    for row in table("command"):
        group = ""
        for word in quoted(row[0]):
            words = [part for part in word.split() if re.fullmatch(r"[a-z]+", part)]
            name = " ".join(words) if word.startswith("edge-agent") else f"{group} {' '.join(words)}"
            group = " ".join(name.split()[:-1])
            named.add(name)
    assert_same(named, {name for name, _ in commands(parser())}, "commands")


def test_every_option_that_is_named_is_one() -> None:
    known = {option for _, one in commands(parser()) for action in one._actions for option in action.option_strings}
    scripts = "".join((ROOT / name).read_text() for name in ("tests/run.sh", "deploy/install.sh"))
    known |= set(re.findall(r"--[a-z][a-z-]+", scripts))
    ours = [word for word in QUOTED if word.startswith(("--", "edge-agent", "deploy/", "tests/"))]
    named = {option for word in ours for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", word)}
    assert named - known == set()


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_the_map_has_every_room_and_no_other() -> None:
    (tree,) = [text for _, text in BLOCKS if text.startswith("edge_agent/\n")]
    named = {line.split()[0].rstrip("/") for line in tree.splitlines()[1:] if re.match(r"  \S", line)}
    package = ROOT / "edge_agent"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    unknown = sorted(name for name in named if not (package / name).exists())
    assert (sorted(rooms - named), unknown) == ([], [])


def test_the_diagram_is_made_of_the_table() -> None:
    wanted = "".join(f"{before:<9} --{signal:-<9}> {after}\n" for (before, signal), after in TRANSITIONS.items())
    assert wanted in {text for _, text in BLOCKS}, f"the diagram should be:\n{wanted}"


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", PROSE)
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_file_that_is_named_is_there() -> None:
    named = {word for word in QUOTED if re.fullmatch(r"(deploy|tests|homeassistant|edge_agent|docs)/[\w./-]+", word)}
    named |= {line.split()[0] for line in SHELL_LINES if re.match(r"(deploy|tests)/", line)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
