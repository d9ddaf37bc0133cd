from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import sources


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration of this machine may take part."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.setattr(sources, "SYSTEM_FILE", tmp_path / "etc" / "edge-agent.toml")
