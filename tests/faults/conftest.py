"""Devices to harm: each test has its own, in a mount namespace of its own where it needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent, agents
from tests.fakes.agent import RunningAgent
from tests.fakes.mounts import Mounts
from tests.faults.machine import SMALL


@pytest.fixture
def make_agent(tmp_path: Path) -> Iterator[MakeAgent]:
    with agents(tmp_path) as make:
        yield make


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    with Mounts() as mounts:
        yield mounts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a volume can be mounted."""
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@pytest.fixture
def device(make_agent: MakeAgent, mounts: Mounts, folder: Path) -> RunningAgent:
    """An agent that records to a small volume which is not mounted yet; both are to be started."""
    agent = make_agent(recording__root=folder, **SMALL)
    agent.root = mounts.seen(folder)
    agent.through = mounts.entrance
    return agent
