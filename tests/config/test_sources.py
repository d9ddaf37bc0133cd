from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import config
from edge_agent.config import sources
from edge_agent.core.model import Camera, is_name


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


def values_of(settings: config.Config) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def test_nothing_at_all_is_a_configuration() -> None:
    settings = config.load(None, {})
    assert settings.source is None
    assert settings.variables == ()
    assert settings.may_simulate
    assert values_of(settings) == values_of(config.parse({}))


def test_the_search_takes_the_option_then_the_variable_then_the_working_directory_then_etc(tmp_path: Path) -> None:
    option = write(tmp_path / "option.toml", '[device]\nid = "option"')
    variable = write(tmp_path / "variable.toml", '[device]\nid = "variable"')
    here = write(Path.cwd() / "edge-agent.toml", '[device]\nid = "here"')
    etc = write(sources.SYSTEM_FILE, '[device]\nid = "etc"')
    environ = {"EDGE_AGENT_CONFIG": str(variable)}

    assert config.load(option, environ).device.id == "option"
    assert config.load(None, environ).device.id == "variable"
    assert config.load(None, {"EDGE_AGENT_CONFIG": ""}).device.id == "here"
    here.unlink()
    settings = config.load(None, {})
    assert (settings.device.id, settings.source) == ("etc", etc)
    assert not settings.may_simulate


def test_a_camera_program_set_by_variable_is_never_replaced_by_a_simulated_one() -> None:
    assert not config.load(None, {"EDGE_AGENT__RPICAM__COMMAND": "rpicam-vid"}).may_simulate
    assert config.load(None, {"EDGE_AGENT__MQTT__HOST": "broker"}).may_simulate


@pytest.mark.parametrize("named", ["missing.toml", "."])
def test_a_file_that_was_asked_for_and_cannot_be_read_is_an_error(named: str) -> None:
    for path, environ in ((Path(named), {}), (None, {"EDGE_AGENT_CONFIG": named})):
        with pytest.raises(config.ConfigError, match=r"No such file|not a regular file") as caught:
            config.load(path, environ)
        assert named in str(caught.value)


def test_a_broken_link_in_a_place_of_the_search_is_an_error_and_not_the_defaults() -> None:
    Path("edge-agent.toml").symlink_to("gone.toml")
    with pytest.raises(config.ConfigError, match="No such file"):
        config.load(None, {})


def test_a_place_that_may_not_be_looked_into_is_an_error_and_not_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = tmp_path / ("x" * 300) / "edge-agent.toml"  # root may look into everything, but not at such a name
    monkeypatch.setattr(sources, "SYSTEM_FILE", too_long)
    with pytest.raises(config.ConfigError, match="cannot be looked up"):
        config.load(None, {})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[mqtt\n", "line 1"),
        (b"[mqtt]\nhost = broker\n", "line 2"),
        (b"\xff\xfe", "UTF-8"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"a = " + b"1" * 5000, "not valid TOML"),
        (b"#" * 1_100_000, "larger than"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_by_name(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(config.ConfigError, match=told) as caught:
        config.load(path, {})
    assert str(path) in str(caught.value)


@given(st.binary(max_size=300))
def test_no_content_of_a_file_gives_anything_but_a_configuration_or_its_error(content: bytes) -> None:
    path = Path("fuzzed.toml")
    path.write_bytes(content)
    with suppress(config.ConfigError):
        config.load(path, {})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([key.path for key in config.all_keys()]), json_values, st.booleans())
def test_no_value_at_any_key_gives_anything_but_a_configuration_or_its_error(
    path: tuple[str, ...], value: object, by_variable: bool
) -> None:
    document: dict[str, Any] = {}
    environ = {}
    if by_variable:
        name = "EDGE_AGENT__" + "__".join(path).upper().replace("*", "NIGHT").replace("[]", "0")
        text = json.dumps(value)
        environ = {name: text.replace("\0", "")}
    else:
        whole: Any = value
        for part in reversed(path):
            whole = [whole] if part == "[]" else {"night" if part == "*" else part: whole}
        document = whole
    with suppress(config.ConfigError):
        config.parse(document, environ)


def test_a_variable_wins_over_the_file_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = write(tmp_path / "it.toml", '[mqtt]\nhost = "file"\nport = 1\n[live]\nfps = 5')
    settings = config.load(path, {"EDGE_AGENT__MQTT__HOST": "variable", "EDGE_AGENT__LIVE__FPS": "7"})
    assert (settings.mqtt.host, settings.mqtt.port, settings.live.fps) == ("variable", 1, 7)
    assert settings.variables == ("EDGE_AGENT__LIVE__FPS", "EDGE_AGENT__MQTT__HOST")


def test_variables_set_values_of_every_type() -> None:
    settings = config.parse(
        {},
        {
            "EDGE_AGENT__MQTT__USERNAME": "1234",
            "EDGE_AGENT__MQTT__PASSWORD": "true",
            "EDGE_AGENT__MQTT__HOST": "::1",
            "EDGE_AGENT__MQTT__PROTOCOL": "3.1.1",
            "EDGE_AGENT__RECORDING__MAX_AGE": "30d",
            "EDGE_AGENT__RECORDING__MAX_BYTES": "50GB",
            "EDGE_AGENT__RECORDING__MIN_FREE_PERCENT": "2.5",
            "EDGE_AGENT__RECORDING__AUTOSTART": "true",
            "EDGE_AGENT__RECORDING__ROOT": "/mnt/footage",
            "EDGE_AGENT__DEVICE__GROUPS": '["vans", "north"]',
            "EDGE_AGENT__RPICAM__EXTRA_ARGS__0": "--denoise",
            "EDGE_AGENT__RPICAM__EXTRA_ARGS__1": "123",
            "EDGE_AGENT__MODES__NIGHT__FPS": "5",
        },
    )
    assert (settings.mqtt.username, settings.mqtt.host, settings.mqtt.protocol) == ("1234", "::1", "3.1.1")
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == "true"
    assert (settings.recording.max_age, settings.recording.max_bytes) == (30 * 86400, 50 * 10**9)
    assert (settings.recording.min_free_percent, settings.recording.autostart) == (2.5, True)
    assert settings.recording.root == Path("/mnt/footage")
    assert settings.device.groups == ("vans", "north")
    assert settings.rpicam.extra_args == ("--denoise", "123")
    assert settings.modes["night"].fps == 5


def test_a_variable_with_an_index_changes_one_of_the_two_cameras_that_there_are_without_a_file() -> None:
    settings = config.parse({}, {"EDGE_AGENT__CAMERAS__1__NAME": "Rear", "EDGE_AGENT__CAMERAS__2__ID": "cabin"})
    assert [(c.id, c.index, c.name) for c in settings.camera_list()] == [
        ("cam0", 0, "cam0"),
        ("cam1", 1, "Rear"),
        ("cabin", 2, "cabin"),
    ]


def test_a_variable_with_an_index_changes_one_camera_of_the_file() -> None:
    settings = config.parse({"cameras": [{"id": "front"}]}, {"EDGE_AGENT__CAMERAS__0__HFLIP": "true"})
    assert settings.camera_list() == (Camera("front", 0, "front", hflip=True),)


def test_a_whole_list_by_variable_comes_before_its_parts() -> None:
    environ = {"EDGE_AGENT__CAMERAS__0__NAME": "Front", "EDGE_AGENT__CAMERAS": '[{"id": "front", "index": 3}]'}
    assert config.parse({}, environ).camera_list() == (Camera("front", 3, "Front"),)


def test_ten_list_entries_by_variable_keep_the_order_of_their_numbers() -> None:
    environ = {f"EDGE_AGENT__DEVICE__GROUPS__{n}": f"group{n}" for n in range(12)}
    assert config.parse({}, environ).device.groups == tuple(f"group{n}" for n in range(12))


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = config.parse({}, {"EDGE_AGENT__MQTT__HOST": "", "EDGE_AGENT__MQTT__PORT": ""})
    assert (settings.mqtt.host, settings.mqtt.port, settings.variables) == (None, 1883, ())


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("EDGE_AGENT__MQTT__HOTS", "x", "no such setting; did you mean EDGE_AGENT__MQTT__HOST?"),
        ("EDGE_AGENT__MQTT__HOTS", "", "no such setting; did you mean EDGE_AGENT__MQTT__HOST?"),
        ("EDGE_AGENT__NOTHING_LIKE_IT", "x", "no such setting"),
        ("EDGE_AGENT__", "x", "no such setting"),
        ("EDGE_AGENT_MQTT_HOST", "x", "no such setting; did you mean EDGE_AGENT__MQTT__HOST?"),
        ("EDGE_AGENT_CAMERAS__0_NAME", "x", "no such setting; did you mean EDGE_AGENT__CAMERAS__0__NAME?"),
        ("EDGE_AGENT__MQTT__HOST__NAME", "x", "no such setting; did you mean EDGE_AGENT__MQTT__HOST?"),
        ("EDGE_AGENT__CAMERAS__FRONT__NAME", "x", "no such setting; did you mean EDGE_AGENT__CAMERAS__0__NAME?"),
        ("EDGE_AGENT__CAMERAS__3__NAME", "x", "the number may be 0 to 2 here"),
        ("EDGE_AGENT__MQTT__HOST", "caf\udce9", "must be UTF-8"),
        ("EDGE_AGENT__MQTT__PORT", "1883x", 'mqtt.port = "1883x": must be a whole number'),
        ("EDGE_AGENT__MQTT__TLS", "yes", 'mqtt.tls = "yes": must be true or false'),
        ("EDGE_AGENT__MQTT", "5", "mqtt = 5: must be a table"),
        ("EDGE_AGENT__DEVICE__GROUPS", "vans", 'device.groups = "vans": must be a list in brackets'),
    ],
)
def test_a_wrong_variable_is_named_with_what_would_be_right(variable: str, value: str, told: str) -> None:
    assert findings({}, {variable: value}) == [f"{variable}: {told}"]


def test_a_variable_below_a_single_value_is_refused() -> None:
    told = "EDGE_AGENT__MQTT__HOST: lies inside something that has a single value elsewhere in the configuration"
    assert findings({"mqtt": 5}, {"EDGE_AGENT__MQTT__HOST": "x"})[0] == told


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "it.toml", '[recording]\nroot = "footage/../archive"\n[device]\nstate_dir = "/s"')
    settings = config.load(path, {})
    assert (settings.recording.root, settings.device.state_dir) == (tmp_path / "archive", Path("/s"))


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.parse({"recording": {"root": "~/footage"}}).recording.root == tmp_path / "footage"


@pytest.mark.parametrize(
    ("environ", "root_user", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edge-agent:/var/lib/other", "HOME": "/home/me"}, False, "/var/lib/edge-agent"),
        ({"HOME": "/root"}, True, "/var/lib/edge-agent"),
        ({"HOME": "/home/me"}, False, "/home/me/.local/share/edge-agent"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, False, "/data/edge-agent"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "relative"}, False, "/home/me/.local/share/edge-agent"),
        ({}, False, "/var/lib/edge-agent"),
    ],
)
def test_recordings_and_state_have_a_place_of_their_own(
    environ: dict[str, str], root_user: bool, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root_user else 1000)
    settings = config.parse({}, environ)
    assert settings.recording.root == Path(folder, "recordings")
    assert settings.device.state_dir == Path(folder, "state")


@pytest.mark.parametrize(
    ("host_name", "mark", "device_id"),
    [
        ("van7", "3f2a91", "van7"),
        ("Van-7.fleet.example", "3f2a91", "van-7"),
        ("raspberrypi", "3f2a91", "raspberrypi-3f2a91"),
        ("raspberrypi", None, "raspberrypi-agent"),
        ("", "3f2a91", "edge-3f2a91"),
        ("all", "3f2a91", "edge-3f2a91"),
        ("--", None, "edge-agent"),
        ("Küche 1", None, "k-che-1"),
        ("x" * 64, None, "x" * 32),
    ],
)
def test_the_device_is_called_like_its_host_where_that_tells_it_apart(
    host_name: str, mark: str | None, device_id: str
) -> None:
    assert sources.device_id_of(host_name, mark) == device_id


@given(st.text(max_size=80), st.none() | st.from_regex("[0-9a-f]{6}", fullmatch=True))
def test_every_host_name_gives_a_valid_device_id(host_name: str, mark: str | None) -> None:
    assert is_name(sources.device_id_of(host_name, mark))


def test_the_machines_mark_is_stable_hides_the_identity_and_skips_what_is_none(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    blank = str(write(tmp_path / "blank", "\n"))
    fresh = str(write(tmp_path / "fresh", "uninitialized\n"))
    one = str(write(tmp_path / "one", "3f2a91c0ffee\n"))
    other = str(write(tmp_path / "other", "3f2a91c0ffef\n"))
    mark = sources.machine_mark([missing, blank, fresh, one, other])
    assert mark is not None
    assert mark == sources.machine_mark([one]) != sources.machine_mark([other])
    assert mark not in "3f2a91c0ffee"
    assert sources.machine_mark([missing, blank, fresh]) is None
