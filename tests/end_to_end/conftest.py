"""Agents for the end-to-end tests: real processes on a real broker, none shared between modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent import RunningAgent
from tests.fakes.mosquitto import Mosquitto

MakeAgent = Callable[..., RunningAgent]
"""Makes agents with the keywords of `RunningAgent`, not started yet; all end with the test."""


@contextmanager
def agents(directory: Path) -> Iterator[MakeAgent]:
    """A broker, and as many agents on it as are asked for."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(directory / "broker"))

        def make(device: str = "van7", **options: Any) -> RunningAgent:
            return stack.enter_context(RunningAgent(directory / device, broker, device=device, **options))

        yield make


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    with agents(tmp_path) as make:
        yield make


@pytest.fixture
def agent(make_agent: MakeAgent) -> RunningAgent:
    """An agent that runs, with segments of 2 s."""
    return make_agent().start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent that the tests of one module share: each of them leaves it idle."""
    with agents(tmp_path_factory.mktemp("shared")) as make:
        yield make().start()


@pytest.fixture
def idle(shared: RunningAgent) -> Iterator[RunningAgent]:
    """The module's agent, idle before and after the test, with whole cameras and nothing special selected."""
    yield shared
    shared.inject({})
    shared.do("stop")
    shared.do("mode", "dual-640")
    shared.do("duration", "0")
    shared.wait_for_state("idle")
