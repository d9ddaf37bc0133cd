"""What the first look at the archive tells the log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.app.stores import Stores
from edge_agent.config import load
from edge_agent.host.clock import Clock
from tests.storage.footage import run_record, store


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    root = tmp_path / "root"
    root.mkdir()
    config = load(
        None, {"EDGE_AGENT__RECORDING__ROOT": str(root), "EDGE_AGENT__DEVICE__STATE_DIR": str(tmp_path / "state")}
    )
    stores = Stores(config, Clock())
    await stores.first_look()
    yield stores
    stores.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_scan_without_surprises_warns_of_nothing(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await stores.scan()
    store(tmp_path / "root", stores.archive, run_record(), 2)
    await stores.scan()
    assert stores.scanned
    assert warnings(caplog) == []


async def test_folders_and_files_that_a_scan_cannot_read_are_told(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await stores.scan()
    root = tmp_path / "root"
    damaged, _ = store(root, stores.archive, run_record(), 2)
    (root / damaged).write_bytes(b"damaged")
    (root / "clips").write_bytes(b"")
    await stores.scan()
    folders, files = warnings(caplog)
    assert "cannot be read" in folders
    assert "count=1 first='clips: Not a directory'" in folders
    assert f"count=1 first={damaged!r}" in files
    assert "edge-agent recordings verify" in files
