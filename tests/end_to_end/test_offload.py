"""The off-load of a real agent: what it locks lies in the store, whatever happens to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MakeAgent
from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.object_store import BUCKET, ObjectStore

pytestmark = pytest.mark.slow

CLIP = "clips/blackbox_cam0_20261123T091500Z_20261123T091600Z.mp4"


def enabled(store: ObjectStore, secret_file: Path) -> dict[str, object]:
    secret_file.write_text(store.secret_key)
    return {
        "offload__enabled": "true",
        "offload__endpoint_url": store.url,
        "offload__bucket": BUCKET,
        "offload__access_key": store.access_key,
        "offload__secret_key_file": secret_file,
        "telemetry__interval_s": 1,
    }


def senders(agent: RunningAgent) -> list[int]:
    def command(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return [pid for pid in agent.processes() if b"edge_agent.offload.sender" in command(pid)]


def test_what_is_locked_while_it_is_recorded_lies_in_the_store_and_is_shown_so(
    make_agent: MakeAgent, object_store: ObjectStore, tmp_path: Path
) -> None:
    agent = make_agent("recorder", **enabled(object_store, tmp_path / "secret")).start()
    agent.do("start", "cam0-640")
    agent.wait_for_segments("cam0", 1)
    agent.do("lock", {"before": "1h", "label": "bang"})
    event = agent.wait_for_event("footage_uploaded", times=2)
    agent.do("stop")
    file = agent.root / event["path"]
    assert object_store.content(event["key"]) == file.read_bytes()
    assert event["key"] == f"recorder/{event['path']}"
    assert file.with_suffix(".lock").exists()
    receipt = json.loads(file.with_suffix(".uploaded").read_text())
    assert (receipt["endpoint_url"], receipt["bucket"], receipt["key"]) == (object_store.url, BUCKET, event["key"])

    def all_sent() -> bool:
        told: dict[str, int] = agent.heard("telemetry")[-1].document["offload"]
        return told["pending_count"] == 0 and told["sent_count"] >= 2 and told["sent_bytes"] > event["size_bytes"]

    eventually(all_sent, "telemetry tells of it")
    listing = [sys.executable, "-m", "edge_agent", "recordings", "list", "--json"]
    done = subprocess.run(listing, env=agent.environment(), cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert event["path"] in {one["path"] for one in json.loads(done.stdout) if one["uploaded"]}
    agent.stop()
    assert senders(agent) == []


def test_an_agent_that_is_killed_in_the_middle_goes_on_and_sends_nothing_twice(
    make_agent: MakeAgent, object_store: ObjectStore, tmp_path: Path
) -> None:
    agent = make_agent("victim", **enabled(object_store, tmp_path / "secret"))
    clip = agent.root / CLIP
    clip.parent.mkdir(parents=True)
    clip.write_bytes(os.urandom(6 * 1024 * 1024))
    object_store.fault(hold=f"victim/{CLIP}.*partNumber=2")
    agent.start()
    eventually(lambda: any(f"victim/{CLIP}" in line for line in object_store.held()), "the second part on its way")
    agent.kill()
    eventually(lambda: not senders(agent), "the sender ends with its agent")
    object_store.fault()
    agent.start()
    event = agent.wait_for_event("footage_uploaded")
    assert (event["path"], event["camera"]) == (CLIP, "cam0")
    assert object_store.content(event["key"]) == clip.read_bytes()
    agent.stop()
    agent.start()
    agent.do("ping")
    eventually(lambda: agent.heard("telemetry")[-1:], "telemetry")
    assert agent.heard("telemetry")[-1].document["offload"]["pending_count"] in (0, None)
    assert agent.events("footage_uploaded") == []
    puts = [line.split()[1] for line in object_store.requests() if line.startswith(f"PUT /{BUCKET}/victim/")]
    parts = sorted(part.partition("partNumber=")[2].partition("&")[0] for part in puts)
    assert parts.count("1") == 1, "what was there was not sent again"
    assert parts[-1] == "2"
