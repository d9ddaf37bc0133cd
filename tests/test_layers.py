"""The rules of the house, read from the source: who may import whom, one door per third-party package, sizes, names.

An exception is an edit of a table below, with its reason, seen in review.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = "edge_agent"
ROOT = Path(__file__).parents[1]

ROOMS = {"mqtt", "rpicam", "storage", "web", "host", "fleet", "media", "offload", "simulated"}
# What all rooms stand on, so that none has to know another.
FLOOR = {"wire", "config", "ports", "latest", "loop", "tapframes", "children", "durable"}

# From top to bottom: a part may import those of lower layers and itself, nothing of its own layer or above.
LAYERS: tuple[set[str], ...] = (
    {"__main__"},
    {"cli"},
    {"app"},
    {"driver", "runs"} | ROOMS,
    FLOOR,
    {"core"},
    {"__init__"},
)

# (importer, imported): reason
EXCEPTIONS: dict[tuple[str, str], str] = {
    (importer, imported): "what all rooms stand on may know each other" for importer in FLOOR for imported in FLOOR
}

# Package: the only modules (or folders, ending in a slash) that may import it.
DOORS = {
    "paho": ("mqtt/client.py",),
    "psutil": ("host/telemetry.py",),
    "tornado": ("web/",),
    "pydantic": ("config.py", "config/", "wire.py", "wire/"),
    "pydantic_core": ("config.py", "config/", "wire.py", "wire/"),
    "av": ("media/", "simulated/"),
    "boto3": ("offload/store.py",),
    "botocore": ("offload/store.py",),
}

# What the core may use of the standard library: nothing that knows a clock, a file, the environment or chance.
PURE = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "string",
    "types",
    "typing",
}
PURE_NAMES = {("pathlib", "PurePosixPath")}

# Where a clock is read; everywhere else the time comes in. All but the first are programs of their own.
CLOCKS = ("host/clock.py", "media/", "offload/sender.py", "simulated/")
CLOCK_READINGS = {
    f"{owner}.{name}"
    for owner, names in {
        "time": ("time", "time_ns", "monotonic", "monotonic_ns", "clock_gettime", "clock_gettime_ns"),
        "datetime": ("now", "utcnow", "today"),
        "date": ("today",),
    }.items()
    for name in names
}

# Where an unexpected error ends: (module, function): reason
CATCH_ALLS = {
    ("loop.py", "_call"): "the bottom of the event loop: an error in one callback is told, as asyncio does",
}

NAMES_THAT_SAY_NOTHING = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "manager",
    "managers",
    "base",
    "factory",
    "wrapper",
    "stuff",
}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

Rule = Callable[[str, str], Iterator[str]]
"""Takes a module's path below the package and its source, yields what is wrong with it."""


def part_of(path: str) -> str:
    """The part of the house that a module belongs to: the folder or the module itself."""
    return path.split("/", 1)[0].removesuffix(".py")


def imported_names(path: str, source: str) -> Iterator[tuple[int, str, str]]:
    """Line, module and (for `from` imports) name of every import of a module, wherever it stands."""
    package = [PACKAGE, *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name, ""
            case ast.ImportFrom(module=module, names=names, level=level):
                origin = package[: len(package) - level + 1] if level else []
                full = ".".join([*origin, *([module] if module else [])])
                for alias in names:
                    yield node.lineno, full, alias.name
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name, ""


def layer_of(part: str) -> int:
    """Position of a part, 0 for the top; -1 for a part that the table does not know."""
    return next((i for i, layer in enumerate(LAYERS) if part in layer), -1)


def breaks_layers(path: str, source: str) -> Iterator[str]:
    importer = part_of(path)
    if layer_of(importer) < 0:
        yield f"{path}: {importer} has no place in the table of layers"
        return
    for line, module, name in imported_names(path, source):
        steps = module.split(".")
        if steps[0] != PACKAGE:
            continue
        imported = steps[1] if len(steps) > 1 else name
        if layer_of(imported) < 0:
            imported = "__init__"
        if imported == importer or (importer, imported) in EXCEPTIONS:
            continue
        if layer_of(imported) <= layer_of(importer):
            yield f"{path}:{line}: {importer} must not import {imported}"


def opens_another_door(path: str, source: str) -> Iterator[str]:
    for line, module, _ in imported_names(path, source):
        package = module.split(".")[0]
        if package == PACKAGE or package in sys.stdlib_module_names:
            continue
        doors = DOORS.get(package, ())
        if not any(path == door or (door.endswith("/") and path.startswith(door)) for door in doors):
            yield f"{path}:{line}: {package} may be imported only in {', '.join(doors) or 'no module'}"


def is_impure(path: str, source: str) -> Iterator[str]:
    if part_of(path) != "core":
        return
    for line, module, name in imported_names(path, source):
        if module.split(".")[0] != PACKAGE and module not in PURE and (module, name) not in PURE_NAMES:
            yield f"{path}:{line}: the core must not import {module}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"{path}:{node.lineno}: the core does not wait"


def reads_a_clock(path: str, source: str) -> Iterator[str]:
    if any(path == place or (place.endswith("/") and path.startswith(place)) for place in CLOCKS):
        return
    for line, module, name in imported_names(path, source):
        if f"{module}.{name}" in CLOCK_READINGS:
            yield f"{path}:{line}: {module}.{name} reads a clock; let the time come in"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            reading = ".".join(ast.unparse(node).split(".")[-2:])
            if reading in CLOCK_READINGS:
                yield f"{path}:{node.lineno}: {reading} reads a clock; let the time come in"


def catches_everything(path: str, source: str) -> Iterator[str]:
    tree = ast.parse(source)
    allowed = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef) and (path, outer.name) in CATCH_ALLS
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(body=[*_, ast.Raise(exc=None)]):
                continue  # cleans up and lets the error go on
            case ast.ExceptHandler(type=None):
                caught = {"everything"}
            case ast.ExceptHandler(type=ast.expr() as kinds):
                caught = {name.id for name in ast.walk(kinds) if isinstance(name, ast.Name)}
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=kinds_given):
                caught = {kind.id for kind in kinds_given if isinstance(kind, ast.Name)}
            case _:
                continue
        if caught & {"everything", "Exception", "BaseException"} and node not in allowed:
            yield f"{path}:{node.lineno}: catches everything; name the errors"


def is_too_long(path: str, source: str) -> Iterator[str]:
    length = len(source.splitlines())
    if length > LONGEST_MODULE:
        yield f"{path}: {length} lines, more than {LONGEST_MODULE}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, more than {LONGEST_FUNCTION}"


def says_nothing_by_its_name(path: str, source: str) -> Iterator[str]:
    del source
    for step in path.removesuffix(".py").split("/"):
        if NAMES_THAT_SAY_NOTHING & set(step.strip("_").split("_")):
            yield f"{path}: {step} says nothing; take a noun of the glossary"


def starts_a_task_of_no_name_or_owner(path: str, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr="create_task"), keywords=keywords):
                if ast.unparse(owner) in {"asyncio", "loop", "self._loop", "asyncio.get_running_loop()"}:
                    yield f"{path}:{node.lineno}: a task belongs to a TaskGroup"
                if all(keyword.arg != "name" for keyword in keywords):
                    yield f"{path}:{node.lineno}: a task has a name"


RULES: tuple[Rule, ...] = (
    breaks_layers,
    opens_another_door,
    is_impure,
    reads_a_clock,
    catches_everything,
    is_too_long,
    says_nothing_by_its_name,
    starts_a_task_of_no_name_or_owner,
)


def modules() -> list[str]:
    return sorted(path.relative_to(ROOT / PACKAGE).as_posix() for path in (ROOT / PACKAGE).rglob("*.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_module_of_the_package(rule: Rule) -> None:
    assert len(modules()) > 5
    assert [found for path in modules() for found in rule(path, (ROOT / PACKAGE / path).read_text())] == []


def test_every_room_is_there() -> None:
    """A room that was renamed or removed would leave a row of the table that checks nothing."""
    assert ROOMS - {part_of(path) for path in modules()} == set()


def test_no_test_module_says_nothing_by_its_name() -> None:
    paths = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")]
    assert [found for path in paths for found in says_nothing_by_its_name(path, "")] == []


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (breaks_layers, "core/agent.py", "from edge_agent.storage import archive"),
        (breaks_layers, "core/agent.py", "import edge_agent.ports"),
        (breaks_layers, "core/agent.py", "from edge_agent import ports"),
        (breaks_layers, "core/agent.py", "from ..wire import Status"),
        (breaks_layers, "mqtt/gateway.py", "from edge_agent.web.server import Server"),
        (breaks_layers, "mqtt/gateway.py", "def f():\n    from ..web import server"),
        (breaks_layers, "mqtt/gateway.py", "from edge_agent.driver import Driver"),
        (breaks_layers, "driver.py", "from edge_agent.mqtt import gateway"),
        (breaks_layers, "config.py", "from edge_agent.mqtt import gateway"),
        (breaks_layers, "app.py", "from . import cli"),
        (breaks_layers, "garage/door.py", ""),
        (opens_another_door, "mqtt/gateway.py", "import paho.mqtt.client"),
        (opens_another_door, "mqtt/client.py", "from tornado.ioloop import IOLoop"),
        (opens_another_door, "app.py", "import importlib\nimportlib.import_module('av')"),
        (opens_another_door, "host/clock.py", "import psutil"),
        (opens_another_door, "offload/sender.py", "from botocore.exceptions import ClientError"),
        (opens_another_door, "core/model.py", "from pydantic import BaseModel"),
        (opens_another_door, "web/api.py", "import requests"),
        (is_impure, "core/agent.py", "import time"),
        (is_impure, "core/agent.py", "from pathlib import Path"),
        (is_impure, "core/agent.py", "import logging"),
        (is_impure, "core/agent.py", "async def f(): ..."),
        (reads_a_clock, "core/agent.py", "import datetime\ndatetime.datetime.now()"),
        (reads_a_clock, "storage/archive.py", "import time\nstarted = time.monotonic()"),
        (reads_a_clock, "storage/archive.py", "from time import monotonic"),
        (catches_everything, "app.py", "try: ...\nexcept Exception: ..."),
        (catches_everything, "app.py", "try: ...\nexcept (OSError, BaseException): ..."),
        (catches_everything, "app.py", "try: ...\nexcept: ..."),
        (catches_everything, "app.py", "with contextlib.suppress(Exception): ..."),
        (is_too_long, "app.py", "x = 1\n" * (LONGEST_MODULE + 1)),
        (is_too_long, "app.py", "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION),
        (says_nothing_by_its_name, "mqtt/utils.py", ""),
        (says_nothing_by_its_name, "camera_manager.py", ""),
        (says_nothing_by_its_name, "helpers/time.py", ""),
        (starts_a_task_of_no_name_or_owner, "app.py", "group.create_task(work())"),
        (starts_a_task_of_no_name_or_owner, "app.py", "loop.create_task(work(), name='work')"),
    ],
)
def test_a_module_that_breaks_a_rule_is_found(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, source)) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/agent.py", "from edge_agent.core.model import Now\nfrom pathlib import PurePosixPath"),
        ("mqtt/client.py", "import paho.mqtt.client\nfrom edge_agent import __version__"),
        ("wire/status.py", "import pydantic\nfrom edge_agent.core import model\nfrom edge_agent.ports import Clock"),
        ("app.py", "from edge_agent.web import server\nfrom edge_agent.driver import Driver"),
        ("media/tap.py", "import time\nimport av\nfrom edge_agent.tapframes import pack\ntime.time()"),
        ("driver.py", "group.create_task(work(), name='work')\ntry: ...\nexcept OSError: ..."),
        ("driver.py", "try: ...\nexcept BaseException:\n    undo()\n    raise"),
    ],
)
def test_a_module_that_keeps_the_rules_passes(path: str, source: str) -> None:
    assert [found for rule in RULES for found in rule(path, source)] == []
