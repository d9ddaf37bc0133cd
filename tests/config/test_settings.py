from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import config
from edge_agent.config import values

SECRET = "correct-horse-battery"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def findings(document: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a configuration, as lines."""
    with pytest.raises(config.ConfigError) as caught:
        config.parse(dict(document), environ, Path("/etc/it.toml"))
    assert str(caught.value).splitlines() == [str(finding) for finding in caught.value.findings]
    return str(caught.value).splitlines()


def test_everything_that_is_wrong_is_told_at_once_with_the_key_the_value_and_what_would_be_right() -> None:
    document = {
        "recording": {"segmnt_s": 3, "segment_s": "x", "max_age": "3x", "min_free_bytes": "2 gigs", "root": 3},
        "mqt": {},
        "cameras": [{"index": "1"}, {"id": "Front"}, {"rotation": 90}],
        "rpicam": {"extra_args": [1]},
        "device": {"groups": ["all"], "name": ""},
        "modes": {"Night": {}, "90": {}, "stream": {}, "n": {"fps": 1.5, "width": 641}},
        "mqtt": {"port": 65536, "base_topic": "/blackbox", "protocol": "4"},
        "web": 3,
        "live": {"quality": 0},
        "telemetry": {"interval_s": float("nan")},
    }
    name = "must be 1 to 32 of a-z, 0-9, _ and -, begin with a letter or digit, and not be all or cmd"
    told = findings(document, {"EDGE_AGENT__LIVE__FPS": "0"})
    assert sorted(told) == sorted(
        [
            f"/etc/it.toml: {line}"
            for line in (
                "recording.segmnt_s: no such key; did you mean segment_s?",
                'recording.segment_s = "x": must be a whole number',
                'recording.max_age = "3x": must be a number of seconds, or text such as "30d", "12h" or "1d12h"',
                (
                    'recording.min_free_bytes = "2 gigs": must be a number of bytes, or text such as "500MB", "10GB" or'
                    ' "2GiB"'
                ),
                "recording.root = 3: must be a path in quotes",
                "mqt: no such key; did you mean mqtt?",
                'cameras[0].index = "1": must be a whole number',
                f'cameras[1].id = "Front": {name}',
                "cameras[2].rotation = 90: must be 0 or 180",
                "rpicam.extra_args[0] = 1: must be text in quotes",
                f'device.groups[0] = "all": {name}',
                'device.name = "": must have at least 1 character',
                f'modes.Night = "Night": {name}',
                'modes.90 = "90": must not read like a duration, which `start` takes in the same place',
                'modes.stream = "stream": is a built-in mode that can\'t be replaced; choose a new name',
                "modes.n.fps = 1.5: must be a whole number",
                "modes.n.width = 641: must be a multiple of 2",
                "mqtt.port = 65536: must be at most 65535",
                'mqtt.base_topic = "/blackbox": must be topic levels of A-Z a-z 0-9 _ . - with single slashes between',
                "mqtt.protocol = \"4\": must be '5' or '3.1.1'",
                "web = 3: must be a table",
                "live.quality = 0: must be at least 1",
                "telemetry.interval_s = nan: must be a finite number",
            )
        ]
        + ["EDGE_AGENT__LIVE__FPS: live.fps = 0: must be at least 1"]
    )


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"cameras": [{}, {"index": 0}]}, "two have the index 0"),
        ({"cameras": [{"id": "front"}, {"id": "front"}]}, "two have the id front"),
        ({"cameras": [{"id": "dual"}]}, "must not be dual"),
        ({"cameras": []}, "at least 1"),
        ({"cameras": [{}] * 9}, "at most 8"),
        ({"modes": {"n": {"cameras": ["rear"]}}}, "modes.n.cameras: there is no camera rear, only cam0, cam1"),
        ({"mqtt": {"tls": True}}, "tls needs host"),
        ({"mqtt": {"host": "b", "ca_file": "ca.pem"}}, "need tls = true"),
        ({"mqtt": {"host": "b", "tls": True, "cert_file": "c.pem"}}, "cert_file and key_file belong together"),
        ({"mqtt": {"host": "broker:1883"}}, "without scheme, port or user"),
        ({"web": {"host": "192.168.1.5"}}, "set tokens_file, or allow_anonymous"),
        ({"web": {"tls": True}}, "tls needs cert_file and key_file"),
        ({"web": {"cert_file": "c.pem", "key_file": "k.pem"}}, "need tls = true"),
        ({"web": {"cors_origins": ["https://fleet.example/"]}}, "without a path"),
        ({"homeassistant": {"discovery_prefix": "home/#"}}, "must be topic levels"),
        ({"device": {"state_dir": "~nobody-of-this-name/x"}}, "home directory that is not known"),
        ({"recording": {"max_age": "30"}}, "must be a number of seconds"),
    ],
)
def test_values_that_do_not_go_together_are_refused(document: dict[str, Any], told: str) -> None:
    (line,) = findings(document)
    assert told in line


def test_two_cameras_may_share_an_index_that_a_sensor_makes_meaningless() -> None:
    cameras = config.parse({"cameras": [{"index": 1}, {"index": 1, "sensor": "i2c@88000"}]}).camera_list()
    assert [camera.sensor for camera in cameras] == [None, "i2c@88000"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_credentials(host: str) -> None:
    assert config.parse({"web": {"host": host}}).web.host == host


@pytest.mark.parametrize("extra", [{"allow_anonymous": True}, {"tokens_file": "/etc/edge-agent/tokens"}])
def test_other_addresses_need_tokens_or_the_written_permission(extra: dict[str, Any]) -> None:
    assert config.parse({"web": {"host": "van7.lan"} | extra}).web.host == "van7.lan"


def test_the_password_is_read_from_its_file_without_the_line_end(tmp_path: Path) -> None:
    write(tmp_path / "secrets" / "mqtt", f"{SECRET}\n")
    path = write(tmp_path / "it.toml", '[mqtt]\nhost = "b"\npassword_file = "secrets/mqtt"')
    by_file = config.load(path, {})
    by_variable = config.load(None, {"EDGE_AGENT__MQTT__PASSWORD_FILE": str(tmp_path / "secrets" / "mqtt")})
    for settings in (by_file, by_variable):
        assert settings.mqtt.password is not None
        assert settings.mqtt.password.get_secret_value() == SECRET
        for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.mqtt)):
            assert SECRET not in text
    assert by_file.source == path
    assert by_variable.variables == ("EDGE_AGENT__MQTT__PASSWORD_FILE",)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("", "one line"), (f"{SECRET}\nmore", "one line"), ("\n", "one line")],
)
def test_a_password_file_without_one_line_is_refused(content: str | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "password"
    if content is not None:
        write(path, content)
    (line,) = findings({"mqtt": {"password_file": str(path)}})
    assert line.startswith(f"/etc/it.toml: mqtt.password_file = {path}: ")
    assert told in line
    assert SECRET not in line


def test_a_fifo_as_password_file_does_not_block_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "password")
    (line,) = findings({"mqtt": {"password_file": str(tmp_path / "password")}})
    assert "not a regular file" in line


@pytest.mark.parametrize(
    ("document", "environ"),
    [
        ({"mqtt": {"password": SECRET, "password_file": "x"}}, {}),
        ({"mqtt": {"password": [SECRET]}}, {}),
        ({"mqtt": {"pasword": SECRET}}, {}),
        ({"mqtt": {"host": f"mqtt://me:{SECRET}@broker"}}, {}),
        ({"mqtt": f"mqtt://me:{SECRET}@broker"}, {}),
        ({"web": {"cors_origins": [f"https://me:{SECRET}@page"]}}, {}),
        ({"passwords": {"mqtt": SECRET}}, {}),
        ({"live": {"fps": "x"}}, {"EDGE_AGENT__MQTT__PASSWORD": SECRET}),
        ({}, {"EDGE_AGENT__MQTT__PASSWORT": SECRET}),
    ],
)
def test_no_error_repeats_a_secret(document: dict[str, Any], environ: dict[str, str]) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.parse(document, environ)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("text", "number"), [("500MB", 500_000_000), ("2GiB", 2**31), ("1.5kB", 1500), ("1 TiB", 2**40), ("0GB", 0)]
)
def test_sizes_are_bytes_or_text_with_a_unit(text: str, number: int) -> None:
    assert config.parse({"recording": {"min_free_bytes": text}}).recording.min_free_bytes == number
    assert config.parse({"recording": {"min_free_bytes": number}}).recording.min_free_bytes == number


@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999), st.integers(1, 9999))
def test_ages_are_seconds_or_text_with_units(days: int, hours: int, minutes: int, seconds: int) -> None:
    assert values.age_s(f"{days}d{hours}h{minutes}m{seconds}s") == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert values.age_s(f"{seconds}s") == seconds


def test_tls_moves_the_brokers_port_unless_it_is_given() -> None:
    assert config.parse({"mqtt": {"host": "b", "tls": True}}).mqtt.port == 8883
    assert config.parse({"mqtt": {"host": "b", "tls": True, "port": 1884}}).mqtt.port == 1884


def test_the_protocol_may_be_written_as_a_number() -> None:
    assert config.parse({"mqtt": {"protocol": 5}}).mqtt.protocol == "5"


def test_a_configuration_never_changes() -> None:
    settings = config.parse({})
    with pytest.raises(ValueError, match="frozen"):
        settings.live.fps = 5  # type: ignore[misc]


def test_a_key_like_no_other_is_told_with_those_that_there_are() -> None:
    (at_the_top,) = findings({"x": 1})
    assert at_the_top.startswith("/etc/it.toml: x: no such key; there are device, mqtt, homeassistant, cameras")
    (inside,) = findings({"telemetry": {"zzz": 1}})
    assert inside == "/etc/it.toml: telemetry.zzz: no such key; there are interval_s"


def test_one_camera_as_a_table_is_told_how_a_list_is_written() -> None:
    assert findings({"cameras": {"id": "front"}}) == [
        "/etc/it.toml: cameras: must be a list: write [[cameras]] for each entry"
    ]
