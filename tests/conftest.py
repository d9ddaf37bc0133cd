"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.fakes.mosquitto import Certificates, MakeMosquitto, Mosquitto
from tests.fakes.object_store import ObjectStore

# No deadlines: how fast an example runs says more about the machine. Continuous integration sees the same examples each
# time, by hypothesis's own profile for it, which these two inherit; the long profile looks for new ones.
settings.register_profile("short", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=2000, deadline=None, derandomize=False, print_blob=True)
settings.load_profile("long" if os.environ.get("EDGE_AGENT_TEST_PROFILE") == "long" else "short")

# Tests that a shell runs in the background, or under nohup, would hand its ignored signals on to all they start.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for every TLS case."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def shared_object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with ObjectStore(tmp_path_factory.mktemp("object store")) as store:
        yield store


@pytest.fixture
def object_store(shared_object_store: ObjectStore) -> Iterator[ObjectStore]:
    """An S3-compatible store without faults. Others' objects lie in it: take names of your own."""
    yield shared_object_store
    shared_object_store.fault()


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[MakeMosquitto]:
    """Start brokers with the keywords of `Mosquitto`; all end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(**options: Any) -> Mosquitto:
            nonlocal count
            count += 1
            return stack.enter_context(Mosquitto(tmp_path / f"mosquitto{count}", **options))

        yield make


@pytest.fixture
def mosquitto(make_mosquitto: MakeMosquitto) -> Mosquitto:
    """A plain broker that lets everybody in and forgets all when it ends."""
    return make_mosquitto()
