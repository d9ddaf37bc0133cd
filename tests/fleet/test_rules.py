"""The example rules of deploy/fleet/rules: the shell script run for real, the others held against the contract."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from string import Template

import pytest

from edge_agent.core.commands import Command, Lock, Origin, SelectMode
from edge_agent.core.model import EventType, Now
from edge_agent.wire import decode_command, encode, event_document
from tests.fakes.listener import Listener
from tests.fakes.mosquitto import Mosquitto
from tests.fleet.shipped import FLEET

RULES = FLEET / "rules"
AT = datetime(2026, 11, 23, 9, 15, 0, 250_000, tzinfo=UTC)
LONGEST = "a" * 32


def fault(device: str = "van7", camera: str = "cam0") -> bytes:
    fields = {"camera": camera, "code": "no_frames", "message": "it hangs"}
    return encode(event_document(device, EventType.CAMERA_FAULT, AT, fields))


def obeyed(verb: str, payload: str | bytes) -> Command:
    """The command as a device understands it; it has to be one that it obeys without a warning."""
    data = payload.encode() if isinstance(payload, str) else payload
    command = decode_command(verb, data, received=Now(0.0, AT), origin=Origin.MQTT, new_id=lambda: "none given")
    assert command.refusal is None
    assert command.warnings == ()
    assert command.id != "none given"
    return command


@contextmanager
def rule_running(mosquitto: Mosquitto) -> Iterator[None]:
    script = subprocess.Popen(
        [RULES / "lock-at-fault.sh", "-h", mosquitto.host, "-p", str(mosquitto.port)],
        env=os.environ,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(script.pid, signal.SIGTERM)
        script.wait(20)


def test_the_shell_rule_locks_a_device_whose_camera_failed_and_no_other(mosquitto: Mosquitto) -> None:
    with rule_running(mosquitto), Listener(mosquitto.port, "blackbox/+/cmd/#", "$SYS/#") as listener:
        stopped = encode(event_document("van8", EventType.CAMERA_RECOVERED, AT, {"camera": "cam0"}))
        # The rule's subscription is up when it answers; asked anew until then, as events are not kept.
        for _ in range(200):
            listener.publish("blackbox/van8/event", stopped)
            listener.publish("blackbox/van7/event", fault(camera=LONGEST))
            try:
                heard = listener.wait(lambda heard: [one for one in heard if "/cmd/" in one.topic], 0.2)
            except AssertionError:
                continue
            break
        assert {one.topic for one in heard} == {"blackbox/van7/cmd/lock"}
        command = obeyed("lock", heard[0].payload)
    assert command.body == Lock(before_s=300.0, label=f"fault {LONGEST}")
    assert command.id == f"fault-2026-11-23T09:15:00.250Z-{LONGEST}"
    assert not heard[0].retain


def test_the_shell_scripts_are_clean() -> None:
    scripts = [*FLEET.glob("*.sh"), *RULES.glob("*.sh")]
    assert len(scripts) == 3
    for script in scripts:
        assert os.access(script, os.X_OK)
        subprocess.run(["sh", "-n", script], check=True, timeout=20)


def test_the_emqx_rules_send_commands_that_devices_obey() -> None:
    text = (RULES / "emqx.conf").read_text()
    topics = re.findall(r'topic = "([^"]+)"', text)
    payloads = re.findall(r'payload = """(.+?)"""', text)
    filled = [
        Template(one).substitute(device=LONGEST, camera=LONGEST, at="2026-11-23T09:15:00.250Z")
        for one in (*topics, *payloads)
    ]
    assert filled[:2] == [f"blackbox/{LONGEST}/cmd/lock", f"blackbox/{LONGEST}/cmd/mode"]
    assert obeyed("lock", filled[2]).body == Lock(before_s=300.0, label=f"fault {LONGEST}")
    assert obeyed("mode", filled[3]).body == SelectMode("dual-640")
    assert "retain = true" not in text


def test_the_emqx_rules_read_keys_that_devices_publish() -> None:
    text = (RULES / "emqx.conf").read_text()
    event = json.loads(fault())
    asked = set(re.findall(r"payload\.(\w+)", text))
    assert asked - event.keys() == {"temperature_c", "disk"}


def test_the_node_red_flow_holds_together() -> None:
    nodes = json.loads((RULES / "node-red.json").read_text())
    ids = [node["id"] for node in nodes]
    assert len(set(ids)) == len(ids)
    wired = {target for node in nodes for outputs in node.get("wires", []) for target in outputs}
    named = {node[key] for node in nodes for key in ("z", "broker", "tls") if node.get(key) and node["type"] != "tab"}
    assert wired | (named - {"broker.example"}) <= set(ids)
    assert {node["topic"] for node in nodes if node["type"] == "mqtt in"} == {"blackbox/+/event"}


@pytest.mark.parametrize("role", ["controller", "viewer", "homeassistant"])
def test_the_emqx_roles_are_those_of_the_access_file(role: str) -> None:
    access, emqx = (FLEET / "acl").read_text(), (FLEET / "emqx" / "acl.conf").read_text()
    assert f"user {role}\n" in access
    section = access.split(f"user {role}\n")[1].split("\n\n")[0]
    allowed = set(re.findall(r"^topic (?:read|write|readwrite) (\S+)", section, re.MULTILINE))
    in_emqx = set(
        re.findall(r'"([^"]+)"', " ".join(re.findall(rf'allow, {{user, "{role}"}}(.+?)}}\.', emqx, re.DOTALL)))
    )
    assert in_emqx - {"controller", "viewer"} == allowed


def test_what_every_device_may_is_the_same_in_emqx() -> None:
    patterns = set(re.findall(r"^pattern \w+ (\S+)", (FLEET / "acl").read_text(), re.MULTILINE))
    rules = re.findall(r"^{allow, all, (.+?)}\.", (FLEET / "emqx" / "acl.conf").read_text(), re.MULTILINE | re.DOTALL)
    topics = {topic.replace("${username}", "%u") for topic in re.findall(r'"([^"]+)"', " ".join(rules))}
    assert topics == patterns


def test_enrolling_refuses_a_name_that_is_none(tmp_path: Path) -> None:
    for name in ("Van7", "-x", "all", "a/b"):
        done = subprocess.run(
            [FLEET / "enroll.sh", name, tmp_path], check=False, capture_output=True, text=True, timeout=20
        )
        assert (done.returncode, done.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []
