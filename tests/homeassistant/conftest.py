"""Tests with a real Home Assistant: collected where `tests/run-homeassistant.sh` named one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.homeassistant.home import Home
from tests.homeassistant.installation import PROGRAM

if PROGRAM not in os.environ:
    collect_ignore_glob = ["test_real_*.py"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with everything in it and all entities available, for all tests of a module."""
    home = Home(tmp_path_factory.mktemp("home"))
    try:
        home.move_in()
        yield home
    finally:
        home.move_out()


@pytest.fixture(autouse=True)
def _without_complaint(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test ends with nothing new in Home Assistant's log that it would have a person look at."""
    if "home" not in request.fixturenames:
        yield
        return
    home: Home = request.getfixturevalue("home")
    before = len(home.complaints())
    yield
    assert home.complaints()[before:] == []
