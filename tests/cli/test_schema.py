from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from edge_agent.core.commands import Verb
from tests.cli.conftest import Command

DOCUMENTS = {"result", "info", "status", "telemetry", "event", *(f"command.{verb}" for verb in Verb)}


def test_one_schema_can_be_asked_for(edge_agent: Command) -> None:
    said = edge_agent("schema", "status")
    document = json.loads(said.out)
    Draft202012Validator.check_schema(document)
    assert "selected_mode" in document["properties"]


def test_all_are_printed_together(edge_agent: Command) -> None:
    documents = json.loads(edge_agent("schema").out)
    assert documents.keys() == {"asyncapi", *DOCUMENTS}
    assert documents["asyncapi"]["asyncapi"].startswith("3.")


def test_all_are_written_into_a_directory(edge_agent: Command, tmp_path: Path) -> None:
    assert edge_agent("schema", "--output", str(tmp_path / "out" / "schemas")).code == 0
    names = {path.name for path in (tmp_path / "out" / "schemas").iterdir()}
    assert names == {"asyncapi.json", *(f"{name}.schema.json" for name in DOCUMENTS)}


def test_an_unknown_name_is_exit_2(edge_agent: Command) -> None:
    said = edge_agent("schema", "weather")
    assert said.code == 2
    assert "NAME: there is no weather" in said.err


def test_a_directory_that_cannot_be_written_is_exit_1(edge_agent: Command) -> None:
    assert edge_agent("schema", "--output", "/proc/nothing").code == 1
