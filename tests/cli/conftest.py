"""The command line in this process, with an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.cli import main


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def edge_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command; keywords are configuration keys such as `mqtt__port`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_AGENT__DEVICE__ID", "sim-0001")
    monkeypatch.setenv("EDGE_AGENT__DEVICE__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EDGE_AGENT__RECORDING__ROOT", str(tmp_path / "root"))

    def run(*arguments: str, **keys: object) -> Said:
        for key, value in keys.items():
            monkeypatch.setenv(f"EDGE_AGENT__{key.upper()}", str(value))
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run
