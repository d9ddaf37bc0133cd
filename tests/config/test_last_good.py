from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import Config, ConfigError, load
from edge_agent.config.last_good import NAME, emptied, keep, last_good

GOOD = '[device]\nname = "The van"\n[recording]\nroot = "footage"\n[mqtt]\nhost = "hub"\npassword = "hush"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "state").mkdir()
    file = tmp_path / "etc" / "edge-agent.toml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def service(tmp_path: Path) -> dict[str, str]:
    """What a service manager gives."""
    return {"STATE_DIRECTORY": f"{tmp_path / 'state'}:/elsewhere", "NOTIFY_SOCKET": "/run/notify"}


def start(file: Path, environ: dict[str, str]) -> Config | None:
    """As the agent does; None where it would end."""
    try:
        config = load(file, environ)
        if (empty := emptied(config, environ)) is not None:
            raise empty
    except ConfigError as error:
        return last_good(file, environ, error)
    keep(config, environ)
    return config


@pytest.mark.parametrize(
    "damage", [b"", b"[device\n", b"\xff\xfe", b'[recording]\nsegment_s = "often"\n', bytes(2_000_000)]
)
def test_a_service_goes_on_with_the_last_good_file(file: Path, service: dict[str, str], damage: bytes) -> None:
    good = start(file, service)
    assert good is not None
    assert good.trouble is None
    file.write_bytes(damage)
    config = start(file, service)
    assert config is not None
    assert config.model_dump() == good.model_dump()
    assert config.source == file
    assert config.recording.root == file.parent / "footage"
    assert config.trouble is not None
    assert str(file) in config.trouble
    assert "hush" not in config.trouble


def test_the_newest_good_file_counts_and_is_for_the_agent_alone(
    file: Path, service: dict[str, str], tmp_path: Path
) -> None:
    start(file, service)
    file.write_text(GOOD.replace("The van", "The boat"))
    start(file, service)
    file.write_text("rubbish")
    config = start(file, service)
    assert config is not None
    assert config.device.name == "The boat"
    assert (tmp_path / "state" / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == [NAME]


@pytest.mark.parametrize("missing", ["STATE_DIRECTORY", "NOTIFY_SOCKET"])
def test_a_person_at_a_terminal_is_told_instead(file: Path, service: dict[str, str], missing: str) -> None:
    start(file, service)
    del service[missing]
    file.write_text("rubbish")
    assert start(file, service) is None


def test_without_a_good_copy_the_error_stands(file: Path, service: dict[str, str], tmp_path: Path) -> None:
    file.write_text("rubbish")
    assert start(file, service) is None
    (tmp_path / "state" / NAME).write_text("rubbish too")
    assert start(file, service) is None


def test_a_directory_that_takes_no_copy_keeps_nobody_from_starting(file: Path, tmp_path: Path) -> None:
    (tmp_path / "no folder").touch()
    environ = {"STATE_DIRECTORY": str(tmp_path / "no folder"), "NOTIFY_SOCKET": "/run/notify"}
    assert start(file, environ) is not None
