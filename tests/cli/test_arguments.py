from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.cli import AGENT
from edge_agent.cli.arguments import parser
from tests.cli.conftest import Command

COMMANDS = {
    "run",
    "check",
    "send",
    "simulate",
    "schema",
    "fleet status",
    "recordings list",
    "recordings verify",
    "recordings plan",
    "recordings clip",
    "recordings lock",
    "recordings unlock",
    "discovery show",
    "discovery remove",
}


def leaves(top: ArgumentParser, prefix: str = "") -> Iterator[tuple[str, ArgumentParser]]:
    groups = [action for action in top._actions if isinstance(action, _SubParsersAction)]
    if not groups:
        yield prefix.strip(), top
    for group in groups:
        for name, command in group.choices.items():
            yield from leaves(command, f"{prefix}{name} ")


def test_every_command_of_the_contract_is_there_with_help_and_a_module_that_carries_it_out() -> None:
    found = dict(leaves(parser()))
    assert found.keys() == COMMANDS
    for name, command in found.items():
        assert command.get_default("command") == name
        assert callable(import_module(f"edge_agent.cli.{command.get_default('module')}").main)
        assert command.description
        assert all(action.help for action in command._actions), name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("send",), "VERB"),
        (("send", "jump"), "VERB"),
        (("send", "ping", "--device", "Van 7"), "--device"),
        (("send", "ping", "--device", "van7", "--group", "vans"), "--group"),
        (("send", "ping", "--timeout", "soon"), "--timeout"),
        (("send", "ping", "--tim", "3"), "--tim"),
        (("simulate",), "--devices"),
        (("simulate", "--devices", "0"), "--devices"),
        (("simulate", "--devices", "100000"), "--devices"),
        (("simulate", "--devices", "1", "--prefix", "a" * 27), "--prefix"),
        (("recordings", "clip", "cam0", "--from", "1"), "--to"),
        (("recordings", "list", "--limit", "-1"), "--limit"),
        (("fleet",), "COMMAND"),
    ],
)
def test_bad_usage_is_exit_2_and_names_the_argument(
    edge_agent: Command, arguments: tuple[str, ...], named: str
) -> None:
    said = edge_agent(*arguments)
    assert said.code == 2
    assert named in said.err


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_configuration_can_be_named_before_and_after_the_command(
    edge_agent: Command, tmp_path: Path, place: str
) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[mqtt]\nprot = 5\n")
    option = ("--config", str(path))
    said = edge_agent(*option, "check") if place == "before" else edge_agent("check", *option)
    assert said.code == 2
    assert f"{path}: mqtt.prot" in said.err


def test_a_wrong_variable_is_named(edge_agent: Command) -> None:
    said = edge_agent("check", mqtt__prot="1")
    assert said.code == 2
    assert "EDGE_AGENT__MQTT__PROT" in said.err


def test_an_argument_for_the_camera_program_that_the_agent_gives_itself_is_named(edge_agent: Command) -> None:
    said = edge_agent("check", rpicam__extra_args='["--output", "x"]')
    assert said.code == 2
    assert "rpicam.extra_args" in said.err


def test_the_version_can_be_asked_for(edge_agent: Command) -> None:
    assert edge_agent("--version").out == f"{__version__}\n"


def test_run_alone_means_what_the_parser_makes_of_it() -> None:
    assert vars(AGENT) == vars(parser().parse_args(["run"]))


def test_the_agent_is_started_without_what_only_the_tools_need() -> None:
    # On the way that a service takes, up to a configuration that can't be used.
    script = (
        "import sys; from edge_agent.cli import main; main(['run']); "
        "print(*(name for name, module in sys.modules.items() if module))"
    )
    wrong = os.environ | {"EDGE_AGENT__MQTT__PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=wrong, timeout=60
    )
    assert "mqtt.port" in done.stderr
    loaded = set(done.stdout.split())
    assert "edge_agent.app.house" in loaded
    heavy = {
        "argparse",
        "curses",
        "difflib",
        "edge_agent.web.openapi",
        "edge_agent.wire.schema",
        "edge_agent.wire.asyncapi",
    }
    assert loaded & heavy == set()
    tools = {"send", "check", "fleet", "simulate", "recordings", "schema", "discovery", "table"}
    assert loaded & {f"edge_agent.cli.{tool}" for tool in tools} == set()
    assert [name for name in loaded if name.startswith(("edge_agent.fleet", "edge_agent.app.simulation", "av"))] == []


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    script = f"{sys.executable} -m edge_agent schema | true"
    done = subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_ctrl_c_while_a_command_is_loaded_is_no_traceback() -> None:
    script = """
import os, signal, sys
from edge_agent.cli import main

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "edge_agent.cli.check":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Impatient())
sys.exit(main(["check"]))
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
