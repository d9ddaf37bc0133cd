"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.mosquitto import Certificates, MakeMosquitto, Mosquitto


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for every TLS case."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


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
