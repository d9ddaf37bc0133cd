"""An archive of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.storage.archive import Archive


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The archive's root; not made yet."""
    return tmp_path / "root"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The archive's state directory; not made yet."""
    return tmp_path / "state"


@pytest.fixture
def archive(root: Path, state: Path) -> Iterator[Archive]:
    """An empty archive, reconciled."""
    root.mkdir()
    archive = Archive(root, state)
    archive.reconcile()
    yield archive
    archive.close()
