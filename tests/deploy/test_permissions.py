"""Who may read and write what the agent writes, by the rights of every file of a real one after all its work."""

from __future__ import annotations

import os
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mosquitto import Mosquitto

pytestmark = pytest.mark.slow

SECRETS = {"tokens", "web-session-secret"}
"""Names of files that nobody but the agent's user may read, whatever its umask."""


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def exercise(agent: RunningAgent) -> None:
    """Let it write every kind of file that it knows."""
    agent.do("start", "dual-640")
    agent.wait_for_event("segment_stored", lambda event: event["camera"] == "cam0")
    agent.do("snapshot")
    agent.do("lock", "1m")
    first = agent.events("segment_stored")[0]
    url = agent.heard("info")[-1].document["http"]["url"]
    stored = Path(first["path"])
    picture = f"{url}recordings/{stored.with_suffix('.jpg')}"
    with urllib.request.urlopen(picture, timeout=30) as answer:  # noqa: S310 - the agent's own page
        assert answer.headers["Content-Type"] == "image/jpeg"
    agent.do("clip", {"camera": first["camera"], "from": first["started_at"], "to": first["at"]})
    assert [path for path in (agent.root / "spool").rglob("*") if path.suffix == ".mp4"] != []


def rights(*folders: Path) -> dict[Path, int]:
    found: dict[Path, int] = {}
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            try:
                found[path] = path.lstat().st_mode
            except FileNotFoundError:
                continue  # it was being written when it was listed
    return found


@pytest.mark.parametrize(("mask", "group", "others"), [(0o022, 0o5, 0o5), (0o027, 0o5, 0o0)])
def test_others_get_no_more_than_the_umask_leaves_and_nobody_gets_secrets(
    mask: int, group: int, others: int, tmp_path: Path
) -> None:
    with umask(mask), Mosquitto(tmp_path / "broker") as broker:
        tokens = tmp_path / "van7/state/tokens"
        with RunningAgent(tmp_path / "van7", broker, rpicam__command="simulated", web__allow_anonymous="true") as agent:
            agent.start()
            exercise(agent)
            agent.stop()
            agent.set(web__allow_anonymous="false", web__tokens_file=tokens)
            agent.start()
            agent.stop()
            found = rights(agent.root, agent.state_dir)
    names = {path.name for path in found}
    assert names >= {*SECRETS, "state.json", "commands.jsonl", "snapshots", "clips", "spool"}
    assert {path.suffix for path in found} >= {".mp4", ".jpg", ".lock", ".json", ".sqlite"}
    assert [path for path, mode in found.items() if stat.S_ISLNK(mode)] == []
    for path, mode in found.items():
        told = f"{path}: {mode & 0o7777:o}"
        assert mode & 0o7000 == 0, told
        assert mode >> 3 & ~group & 0o7 == 0, told
        assert mode & ~others & 0o7 == 0, told
        if stat.S_ISREG(mode):
            assert mode & 0o111 == 0, told
    assert {path.name: mode & 0o777 for path, mode in found.items() if path.name in SECRETS} == dict.fromkeys(
        SECRETS, 0o600
    )


def test_the_log_does_not_tell_the_password_of_the_broker(tmp_path: Path) -> None:
    users = {"van7": "the password 17"}
    with Mosquitto(tmp_path / "broker", users={**users, "ear": "x"}) as broker:
        agent = RunningAgent(
            tmp_path / "van7",
            broker,
            rpicam__command="simulated",
            mqtt__username="van7",
            mqtt__password=users["van7"],
        )
        agent.spawn()
        try:
            eventually(lambda: "broker connected" in agent.log, "a connection")
            assert users["van7"] not in agent.log
        finally:
            agent.kill_everything()
