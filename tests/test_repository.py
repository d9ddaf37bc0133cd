"""What the repository holds, and what it must not hold: addresses in locks, this machine's paths, naps in tests."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "THIRD_PARTY_LICENSES.md",
    "deploy",
    "docs",
    "edge_agent",
    "homeassistant",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements-offload.lock",
    "requirements.lock",
    "tests",
}
NEEDED = {".ci/run", "LICENSE", "README.md", "CHANGELOG.md", "deploy/run.sh", "tests/run.sh", "pyproject.toml"}
LOCKS = ("requirements.lock", "requirements-offload.lock", "requirements-dev.lock")

ADDRESS = re.compile(r"\w+://|\b[\w-]+\.(?:org|com|io|net)\b")
# Put together here so that this file does not hold what it looks for.
PLACES = re.compile(
    "|".join(
        (
            r"(?<![\w./-])/(?:root|work|home/(?!(?:pi|me)\b)\w+)/",
            r"\bfiles\.python" + r"hosted\b",
            r"\bpypi\." + r"org\b",
            r"\bdeb\.debian\." + r"org\b",
            r"\bregistry\.npm" + r"js\b",
            r"\bpiwheels\." + r"org\b",
        )
    )
)


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(name: str) -> str:
    """The text of a tracked file, empty for pictures and other bytes."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def naps_and_skips(source: str) -> Iterator[str]:
    """Calls that let time pass, and marks that let a test not run."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            never_waits = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if called in {"time.sleep", "sleep", "asyncio.sleep"} and not never_waits:
                yield ast.unparse(node)
        if isinstance(node, ast.Attribute) and node.attr in {"skip", "skipif", "importorskip", "skipTest"}:
            yield ast.unparse(node)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_pins_every_package_by_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if re.match(r"[a-z]", line)]
    assert pins
    assert [line for line in lines if ADDRESS.search(line)] == []
    assert [lines[number] for number in pins if "==" not in lines[number] or "--hash=" not in lines[number + 1]] == []


def test_each_lock_pins_what_the_one_before_it_does() -> None:
    agent, offload, tests = (
        {line for line in (ROOT / lock).read_text().splitlines() if "==" in line} for lock in LOCKS
    )
    assert agent < offload < tests


def test_every_dependency_of_the_project_is_in_the_lock() -> None:
    declared = set(re.findall(r'^    "([a-z-]+)>=', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE))
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / LOCKS[2]).read_text(), flags=re.MULTILINE))
    assert {"paho-mqtt", "pytest"} <= declared
    assert declared - locked == set()


def test_no_file_speaks_of_the_machine_it_was_written_on() -> None:
    found = [f"{name}: {hit[0]}" for name in tracked() for hit in PLACES.finditer(text_of(name))]
    assert found == []


def test_only_known_things_stand_at_the_top() -> None:
    assert {name.split("/")[0] for name in tracked()} - TOP_LEVEL == set()


def test_what_a_reader_looks_for_is_there() -> None:
    assert NEEDED - set(tracked()) == set()
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


SCRIPTS = [name for name in tracked() if text_of(name).startswith("#!")]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run(script: str) -> None:
    path = ROOT / script
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    assert os.access(path, os.X_OK)
    subprocess.run([shell, "-n", path], check=True, timeout=20)


def test_no_test_sleeps_or_may_be_skipped() -> None:
    # The fakes are programs of their own, and some of them stand for slow ones. Benchmarks watch time pass.
    tests = [name for name in tracked() if re.match(r"tests/(?!fakes/|bench/).*\.py$", name)]
    found = {(name, call) for name in tests for call in naps_and_skips(text_of(name))}
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "time.sleep(0.1)",
        "from time import sleep\nsleep(1)",
        "async def f():\n    await asyncio.sleep(DELAY_S)",
        "pytest.skip('no browser')",
        "@pytest.mark.skipif(True, reason='')\ndef test_x(): ...",
        "pytest.importorskip('av')",
    ],
)
def test_a_nap_or_a_skip_is_found(source: str) -> None:
    assert list(naps_and_skips(source)) != []


def test_yielding_to_the_loop_is_no_nap() -> None:
    assert list(naps_and_skips("async def f():\n    await asyncio.sleep(0)")) == []


@pytest.mark.parametrize(
    "text", ["/ro" + "ot/x", "see /wo" + "rk/main", "files.python" + "hosted.org", "/ho" + "me/alice/x"]
)
def test_a_machine_path_or_a_registry_host_is_found(text: str) -> None:
    assert PLACES.search(text)


@pytest.mark.parametrize("text", ["/home/pi/footage", "the root / work", "http/root/", "https://example.org/"])
def test_a_path_of_the_product_is_not_mistaken_for_one(text: str) -> None:
    assert PLACES.search(text) is None


@pytest.mark.parametrize("text", ["https://x", "file:///x", "--index-url pkg.example.com"])
def test_an_address_in_a_lock_is_found(text: str) -> None:
    assert ADDRESS.search(text)
