from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from edge_agent import config

EXAMPLE = Path(__file__).parents[2] / "deploy" / "edge-agent.toml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def values_of(settings: config.Config) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def test_the_example_is_exactly_the_defaults() -> None:
    example = config.load(EXAMPLE, {})
    assert values_of(example) == values_of(config.parse({}))


def test_the_example_names_every_key_and_no_other() -> None:
    lines = EXAMPLE.read_text().splitlines()
    uncommented = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith(("# ", "#\n")) else line for line in lines
    )
    document = tomllib.loads(uncommented)
    written = set()

    def walk(value: object, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*path, "*" if path == ("modes",) else key))
        elif isinstance(value, list) and path == ("cameras",):
            for inner in value:
                walk(inner, (*path, "[]"))
        else:
            written.add(path)

    walk(document, ())
    assert written == {key.path for key in config.all_keys() if key.meaning}


def test_every_value_that_the_example_only_suggests_is_valid(tmp_path: Path) -> None:
    write(tmp_path / "mqtt-password", "x")
    write(tmp_path / "offload-secret", "x")
    text = "\n".join(line.removeprefix("#") if line[:2] != "# " else "" for line in EXAMPLE.read_text().splitlines())
    text = text.replace('password = ""', "").replace('secret_key = ""', "").replace("tls = false", "tls = true")
    text = text.replace("enabled = false", "enabled = true")
    document = tomllib.loads(text)
    document["mqtt"]["password_file"] = str(tmp_path / "mqtt-password")
    document["offload"]["secret_key_file"] = str(tmp_path / "offload-secret")
    settings = config.parse(document)
    assert (settings.device.id, settings.cameras[1].name, list(settings.modes)) == ("van7", "Rear", ["night"])
    assert settings.offload.enabled


def test_every_key_tells_its_meaning_and_stands_in_the_table() -> None:
    table = config.describe(config.all_keys())
    keys = [key for key in config.all_keys() if key.path[-1] != "[]"]
    assert len(keys) > 50
    for key in keys:
        assert len(key.meaning) > 5, key.name
        assert key.default, key.name
        assert "\n" not in key.meaning, key.name
        assert f"| `{key.name}` | " in table
    assert "| `mqtt.port` | `1883` | " in table
    assert "| `cameras[].hflip` | `false` | " in table
