from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config

WHOLE = {"enabled": True, "bucket": "footage", "access_key": "van7", "secret_key": "s3cret"}


def findings(**keys: Any) -> list[str]:
    with pytest.raises(config.ConfigError) as caught:
        config.parse({"offload": keys}, {}, Path("/etc/it.toml"))
    return [str(finding).removeprefix("/etc/it.toml: ") for finding in caught.value.findings]


def test_it_is_off_and_nothing_is_missing_then() -> None:
    assert config.parse({}).offload.enabled is False
    assert config.parse({"offload": {"bucket": "footage"}}).offload.bucket == "footage"


def test_the_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    keys = {key: value for key, value in WHOLE.items() if key != "secret_key"}
    settings = config.parse({"offload": keys | {"secret_key_file": str(tmp_path / "secret")}}).offload
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize("key", ["bucket", "access_key"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    (line,) = findings(**{name: value for name, value in WHOLE.items() if name != key})
    assert line == f"offload: enabled = true needs {key}"


def test_all_that_is_missing_is_named_at_once() -> None:
    assert findings(enabled=True) == ["offload: enabled = true needs bucket, access_key, secret_key_file"]


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("endpoint_url", "minio.lan:9000", "https://host"),
        ("endpoint_url", "https://minio.lan/footage", "a key of its own"),
        ("bucket", "Footage", "3 to 63"),
        ("bucket", "s3://footage", "3 to 63"),
        ("prefix", "/van7/", "single slashes"),
        ("prefix", "../van7/", "single slashes"),
        ("max_bps", 7999, "at least 8000"),
        ("max_bps", "2M", "a whole number"),
        ("hours_utc", "22-6", "22:00-06:00"),
        ("region", "US East", "match"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(key: str, wrong: object, right: str) -> None:
    (line,) = findings(**WHOLE | {key: wrong})
    assert line.startswith(f"offload.{key} = ")
    assert right in line


def test_a_secret_in_the_wrong_form_or_place_is_not_repeated(tmp_path: Path) -> None:
    both = findings(**WHOLE | {"secret_key_file": str(tmp_path / "secret")})
    assert both == ["offload: secret_key and secret_key_file are both set; remove secret_key"]
    (line,) = findings(**WHOLE | {"secret_key": 31415})
    assert "31415" not in line


@pytest.mark.slow
def test_without_its_client_the_start_says_what_to_install(tmp_path: Path) -> None:
    """In an installation that lacks it: all of this one's packages but boto3, by links."""
    here = next(Path(entry) for entry in sys.path if (Path(entry) / "boto3").is_dir())
    for package in here.iterdir():
        if not package.name.startswith("boto3"):
            (tmp_path / package.name).symlink_to(package)
    keys = {f"EDGE_AGENT__OFFLOAD__{key.upper()}": str(value).lower() for key, value in WHOLE.items()}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "edge_agent", "run"],
        env=keys | {"PYTHONPATH": f"{tmp_path}:{Path(config.__file__).parents[2]}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "offload: enabled = true needs the client for S3: pip install 'edge_agent[offload]'" in done.stderr
