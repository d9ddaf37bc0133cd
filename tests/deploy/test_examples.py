"""The broker's example with a real mosquitto, and the container's files against what they name."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent import config
from tests.fakes.agent import eventually
from tests.fakes.mosquitto import Certificates, executable, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
CONTAINER = DEPLOY / "container"
TIMEOUT_S = 30


@contextmanager
def broker(directory: Path, certificates: Certificates) -> Iterator[tuple[int, int]]:
    """The example on two free ports, the plain one and that with TLS. Users: van7 and controller, password x."""
    plain, tls = free_port(), free_port()
    text = (DEPLOY / "mosquitto" / "edge-agent.conf").read_text()
    for example, here in {
        "listener 1883 127.0.0.1": f"listener {plain} 127.0.0.1",
        "listener 8883": f"listener {tls} 127.0.0.1",
        "/etc/mosquitto/certs/broker.pem": str(certificates.server.cert),
        "/etc/mosquitto/certs/broker.key": str(certificates.server.key),
        "/etc/mosquitto/edge-agent.": f"{directory}/edge-agent.",
    }.items():
        assert example in text
        text = text.replace(example, here)
    passwords = directory / "edge-agent.passwords"
    passwords.touch(0o600)
    for user in ("van7", "controller"):
        subprocess.run([executable("mosquitto_passwd"), "-b", passwords, user, "x"], check=True, timeout=TIMEOUT_S)
    shutil.copy(DEPLOY / "fleet" / "acl", directory / "edge-agent.acl")
    (directory / "mosquitto.conf").write_text(f"user root\nlog_dest stderr\n{text}")
    log = directory / "log"
    with log.open("wb") as words:
        process = subprocess.Popen([executable("mosquitto"), "-c", directory / "mosquitto.conf"], stderr=words)
    try:
        eventually(lambda: process.poll() is not None or " running" in log.read_text(), "a broker")
        assert process.poll() is None, log.read_text()
        yield plain, tls
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def publish(port: int, *more: str | Path) -> int:
    command = [executable("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-q", "1", *map(str, more)]
    topic = ["-t", "blackbox/van7/status", "-m", "{}"]
    return subprocess.run([*command, *topic], capture_output=True, timeout=TIMEOUT_S, check=False).returncode


def test_the_brokers_example_wants_passwords_and_tls(tmp_path: Path, certificates: Certificates) -> None:
    me, tls = ("-u", "van7", "-P", "x"), ("--cafile", certificates.ca)
    with broker(tmp_path, certificates) as (plain_port, tls_port):
        assert publish(plain_port, *me) == 0
        assert publish(tls_port, *me, *tls) == 0
        assert publish(plain_port) != 0
        assert publish(tls_port, *me) != 0
        assert publish(tls_port, "-u", "van7", "-P", "wrong", *tls) != 0


def test_every_variable_of_the_compose_file_is_a_key_and_its_values_are_valid() -> None:
    text = (CONTAINER / "compose.yaml").read_text()
    variables = dict(re.findall(r"^\s+(EDGE_AGENT__\w+): (.+)$", text, flags=re.MULTILINE))
    settings = config.parse({}, variables)
    assert len(variables) == 5
    assert (settings.mqtt.host, settings.web.host, settings.rpicam.command) == (
        "broker",
        "0.0.0.0",  # noqa: S104 - read, not bound
        "simulated",
    )


def test_the_container_runs_without_root_and_holds_only_what_it_is_given() -> None:
    text = (CONTAINER / "Containerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", text, flags=re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    copied = set(re.findall(r"^COPY (\S+) \S+$", text, flags=re.MULTILINE))
    allowed = {line[1:] for line in (CONTAINER / "Containerfile.dockerignore").read_text().split() if line[0] == "!"}
    assert copied == allowed == {"requirements.lock", "requirements-offload.lock", "edge_agent"}
    assert all((DEPLOY.parent / name).exists() for name in copied)


@pytest.mark.parametrize("name", ["Containerfile", "mosquitto.conf"])
def test_what_the_compose_file_names_is_there(name: str) -> None:
    assert name in (CONTAINER / "compose.yaml").read_text()
    assert (CONTAINER / name).is_file()
