from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.check import Item, Level, examine
from edge_agent.config import parse
from edge_agent.storage.claim import claim
from edge_agent.storage.volume import MARKER_NAME, Volume
from edge_agent.web.tokens import create_tokens
from tests.fakes.mosquitto import Certificates, MakeMosquitto, Mosquitto, ServerTls, free_port
from tests.fakes.object_store import BUCKET, ObjectStore


@pytest.fixture
def document(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """A configuration with which a machine without cameras and broker is well."""
    return {
        "device": {"id": "van7", "state_dir": str(tmp_path / "state")},
        "recording": {"root": str(tmp_path / "root"), "min_free_bytes": 0, "min_free_percent": 0},
        "rpicam": {"command": "simulated"},
        "web": {"port": free_port()},
        "mqtt": {},
    }


def items(document: dict[str, Any], path: str | None = None) -> dict[str, Item]:
    """What is found with this configuration, read from a file unless a `PATH` for programs is given."""
    source = Path("/somewhere/edge-agent.toml") if path is None else None
    environ = os.environ if path is None else {**os.environ, "PATH": path}

    async def look() -> dict[str, Item]:
        return {item.name: item async for item in examine(parse(document, source=source), environ)}

    return asyncio.run(look())


def test_a_machine_that_is_well_has_nothing_to_mend_and_is_left_as_it_was(
    document: dict[str, Any], tmp_path: Path
) -> None:
    found = items(document)
    assert [item for item in found.values() if item.level is Level.FAIL] == []
    assert found["configuration"].told == "/somewhere/edge-agent.toml: device van7"
    assert found["cam0"].level is found["cam1"].level is Level.OK
    assert found["camera program"] == Item(
        Level.WARN, "camera program", "rpicam.command = 'simulated': test pictures, no footage"
    )
    assert "h in dual-640 before the oldest footage goes" in found["disk"].told
    assert list(tmp_path.iterdir()) == []


def program(folder: Path, *lines: str) -> str:
    """A camera program that says these lines to everything."""
    path = folder / "rpicam-vid"
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return str(path)


ONE_CAMERA = "0 : imx708_wide [4608x2592 10-bit RGGB] (/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a)"


def test_a_camera_that_is_not_plugged_in_is_named(document: dict[str, Any], tmp_path: Path) -> None:
    answer = f'[ "$1" = --list-cameras ] && echo "{ONE_CAMERA}" && exit'
    version = 'echo "rpicam-apps build: v1.9.0 abc"; echo "rpicam-apps capabilites: egl:0 qt:0 drm:1 libav:1"'
    document["rpicam"]["command"] = program(tmp_path, answer, version)
    found = items(document)
    assert found["camera program"].level is Level.OK
    assert "1.9.0" in found["camera program"].told
    assert found["cam0"] == Item(Level.OK, "cam0", "imx708_wide at index 0, called cam0")
    assert found["cam1"].level is Level.FAIL
    assert "no camera has index 1; check its cable" in found["cam1"].told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (('echo "rpicam-apps build: v1.9.0"; echo "rpicam-apps capabilites: libav:0"',), "the lite package"),
        (('echo "rpicam-apps build: v1.3.0"',), "is too old to record"),
        (("echo broken >&2; exit 3",), "failed with exit code 3: broken"),
    ],
)
def test_a_camera_program_that_cannot_record_is_named(
    document: dict[str, Any], tmp_path: Path, lines: tuple[str, ...], told: str
) -> None:
    document["rpicam"]["command"] = program(tmp_path, *lines)
    item = items(document)["camera program"]
    assert item.level is Level.FAIL
    assert told in item.told


def test_a_missing_camera_program_is_to_be_mended_only_where_cameras_are_configured(
    document: dict[str, Any],
) -> None:
    document["rpicam"]["command"] = "rpicam-nothing"
    item = items(document)["camera program"]
    assert item.level is Level.FAIL
    assert "sudo apt install rpicam-apps" in item.told
    del document["rpicam"]
    item = items(document, path="/nowhere")["camera program"]
    assert item.level is Level.WARN
    assert "SIMULATED cameras stand in" in item.told


def test_a_volume_that_is_known_is_looked_at_without_a_trace(document: dict[str, Any], tmp_path: Path) -> None:
    root, state = tmp_path / "root", tmp_path / "state"
    assert Volume(root, state).check().trouble is None
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert items(document)["disk"].level is Level.OK
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    (root / MARKER_NAME).unlink()
    item = items(document)["disk"]
    assert item.level is Level.FAIL
    assert item.told.startswith("volume_missing: the recording volume is not mounted")


def test_a_place_that_cannot_be_written_is_named(document: dict[str, Any]) -> None:
    document["recording"]["root"] = "/proc/recordings"
    document["device"]["state_dir"] = "/proc/state"
    found = items(document)
    assert found["disk"].level is found["state"].level is Level.FAIL
    assert "set recording.root" in found["disk"].told
    assert "set device.state_dir" in found["state"].told


def test_a_disk_below_its_floor_is_a_warning(document: dict[str, Any]) -> None:
    document["recording"]["min_free_percent"] = 100
    item = items(document)["disk"]
    assert item.level is Level.WARN
    assert "recording.min_free_bytes and min_free_percent keep" in item.told


def test_the_configured_broker_is_tried(document: dict[str, Any], mosquitto: Mosquitto) -> None:
    document["mqtt"] |= {"host": "127.0.0.1", "port": mosquitto.port}
    item = items(document)["broker"]
    assert item.level is Level.OK
    assert item.told.startswith(f"127.0.0.1:{mosquitto.port} takes commands for van7 without TLS, MQTT 5")
    mosquitto.stop()
    item = items(document)["broker"]
    assert (item.level, item.told.split(":")[0]) == (Level.FAIL, "broker_unreachable")


def test_another_agent_with_this_device_id_is_named(
    document: dict[str, Any], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    document["mqtt"] |= {"host": "127.0.0.1", "port": mosquitto.port}
    mosquitto.publish("blackbox/van7/availability", "online", retain=True)
    item = items(document)["broker"]
    assert item.level is Level.WARN
    assert "van7 online already: if that is another agent, give one of them another device.id" in item.told
    ours = claim(tmp_path / "state")
    assert ours is not None
    assert items(document)["broker"].level is Level.OK, "it is the agent that runs here"
    os.close(ours)


def test_wrong_credentials_and_certificates_are_told_apart(
    document: dict[str, Any], make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    broker = make_mosquitto(users={"van7": "right"}, tls=ServerTls(certificates.server))
    document["mqtt"] |= {
        "host": "localhost",
        "port": broker.port,
        "tls": True,
        "ca_file": str(certificates.ca),
        "username": "van7",
        "password": "right",
    }
    item = items(document)["broker"]
    assert (item.level, item.told) == (
        Level.OK,
        f"localhost:{broker.port} takes commands for van7 over TLS as van7, MQTT 5",
    )
    document["mqtt"]["password"] = "wrong"
    assert items(document)["broker"].told.startswith("broker_not_authorised:")
    document["mqtt"]["ca_file"] = str(certificates.other_ca)
    assert items(document)["broker"].told.startswith("tls_unknown_authority:")


def test_the_agents_own_broker_is_announced_or_found(
    document: dict[str, Any], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    assert "the agent will start" in items(document)["broker"].told
    own = tmp_path / "state" / "broker"
    own.mkdir(parents=True)
    (own / "mosquitto.conf").write_text(f"listener {mosquitto.port} 127.0.0.1\n")
    assert f"answers on 127.0.0.1:{mosquitto.port}" in items(document)["broker"].told


@contextmanager
def answering(port: int, answer: bytes) -> Iterator[None]:
    """A server that says the same to everybody who comes."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(30)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(30)


@pytest.mark.parametrize(("server", "level"), [(b"edge-agent", Level.OK), (b"nginx", Level.FAIL)])
def test_a_taken_port_is_fine_where_an_agent_has_it(document: dict[str, Any], server: bytes, level: Level) -> None:
    with answering(document["web"]["port"], b"HTTP/1.1 200 OK\r\nServer: " + server + b"\r\n\r\nok\n"):
        item = items(document)["page"]
    assert item.level is level
    if level is Level.FAIL:
        assert "choose another web.host or web.port" in item.told


def test_who_may_use_the_page_is_told(document: dict[str, Any], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    document["web"] |= {"tokens_file": str(tokens)}
    assert "is made at the first start" in items(document)["page access"].told
    assert not tokens.exists()
    create_tokens(tokens)
    assert items(document)["page access"].told == f"by the tokens in {tokens}"
    tokens.write_text("operator admin short\n")
    item = items(document)["page access"]
    assert item.level is Level.FAIL
    assert f"{tokens}:1" in item.told
    document["web"] = {"port": free_port(), "host": "192.0.2.1", "allow_anonymous": True}
    assert items(document)["page access"].level is Level.WARN


def test_a_certificate_of_the_page_that_cannot_be_used_is_named(
    document: dict[str, Any], certificates: Certificates
) -> None:
    pair = certificates.server
    document["web"] |= {"tls": True, "cert_file": str(pair.cert), "key_file": str(pair.key)}
    assert items(document)["page TLS"].level is Level.OK
    document["web"] |= {"key_file": str(certificates.client.key)}
    item = items(document)["page TLS"]
    assert item.level is Level.FAIL
    assert str(certificates.client.key) in item.told


@pytest.mark.slow
def test_the_store_of_the_off_load_is_tried(document: dict[str, Any], object_store: ObjectStore) -> None:
    keys = {"endpoint_url": object_store.url, "bucket": BUCKET, "access_key": object_store.access_key}
    document["offload"] = keys | {"enabled": True, "secret_key": object_store.secret_key}
    told = f"{object_store.url}, bucket {BUCKET} answers; names begin with van7/"
    assert items(document)["off-load"] == Item(Level.OK, "off-load", told)
    document["offload"] |= {"secret_key": "guessed"}
    found = items(document)["off-load"]
    assert found.level is Level.FAIL
    assert "offload.secret_key_file" in found.told
    assert "guessed" not in found.told
