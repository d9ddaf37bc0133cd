"""The off-load in the agent's place: real footage on a disk, a real child, a real store."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.offloading import PROBLEM, Desk, Offloading, try_store
from edge_agent.app.stores import Stores
from edge_agent.config import Config, parse
from edge_agent.core import events as ev
from edge_agent.core.model import EventType, Now
from edge_agent.storage.locks import LockWindow
from tests.fakes.agent import eventually
from tests.fakes.object_store import BUCKET, ObjectStore
from tests.storage.footage import AT, run_record, store

pytestmark = pytest.mark.slow

CLIP = "clips/blackbox_cam0_20261123T091500Z_20261123T091600Z.mp4"
TWO_PARTS = 6 * 1024 * 1024
EVERYTHING = LockWindow(None, None, "crash", None, AT)


class FixedClock:
    """The wall clock as a test sets it; the monotonic one goes on."""

    def __init__(self, wall: datetime) -> None:
        self.wall = wall

    def now(self) -> Now:
        return Now(time.monotonic(), self.wall)


class Device:
    """A device whose archive was filled before, and what it told."""

    def __init__(self, config: Config, clock: FixedClock) -> None:
        self.root = config.recording.root
        self.clock = clock
        self.stores = Stores(config, clock)
        self.posted: list[ev.Event] = []
        self.events: list[tuple[EventType, dict[str, Any]]] = []
        self.offloading = Offloading(Desk(config, self.stores, clock, self.posted.append, self._report))

    def _report(self, event_type: EventType, fields: dict[str, Any]) -> None:
        self.events.append((event_type, fields))

    @property
    def uploaded(self) -> list[str]:
        """Paths, in the order in which they were told of."""
        return [fields["path"] for kind, fields in self.events if kind is EventType.FOOTAGE_UPLOADED]

    @property
    def problems(self) -> list[str | None]:
        """What was told as the problem, None for its end."""
        told = [one for one in self.posted if isinstance(one, ev.ProblemChanged)]
        assert {one.code for one in told} <= {PROBLEM}
        return [one.message for one in told]

    async def until(self, look: Callable[[], Any], what: str) -> None:
        await asyncio.to_thread(eventually, look, f"{what}; told: {self.problems}")

    def store_segments(self, count: int) -> list[str]:
        """Locked ones."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.stores.archive.reconcile()
        paths = store(self.root, self.stores.archive, run_record(), count)
        self.stores.archive.lock(EVERYTHING)
        return paths

    def write_clip(self, size_bytes: int = 1000) -> None:
        (self.root / "clips").mkdir(parents=True, exist_ok=True)
        (self.root / CLIP).write_bytes(os.urandom(size_bytes))


@pytest.fixture
def make(tmp_path: Path, object_store: ObjectStore, request: pytest.FixtureRequest) -> Callable[..., Device]:
    """Make a device that sends to the store, with further keys of its configuration's section."""
    device_id = f"d{abs(hash(request.node.name)) % 10**9}"

    def made(**keys: object) -> Device:
        offload = {"enabled": True, "endpoint_url": object_store.url, "bucket": BUCKET}
        offload |= {"access_key": object_store.access_key, "secret_key": object_store.secret_key}
        document = {
            "device": {"id": device_id, "state_dir": str(tmp_path / "state")},
            "recording": {"root": str(tmp_path / "recordings")},
            "offload": offload | keys,
        }
        return Device(parse(document), FixedClock(datetime(2026, 11, 23, 12, tzinfo=UTC)))

    return made


@asynccontextmanager
async def sending(device: Device) -> AsyncIterator[Device]:
    """The off-load at work."""
    device.root.mkdir(parents=True, exist_ok=True)
    await device.stores.first_look()
    await device.stores.scan()
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(device.offloading.run(), name="off-load")
            try:
                yield device
            finally:
                task.cancel()
    finally:
        device.stores.close()


def children() -> list[int]:
    """The senders that live below this process."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"edge_agent.offload.sender" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def key_of(device: Device, path: str) -> str:
    return device.offloading._prefix + path


async def test_clips_and_locked_footage_arrive_are_marked_and_told_of(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make()
    device.write_clip()
    segments = device.store_segments(2)
    async with sending(device):
        await device.until(lambda: len(device.uploaded) == 3, "all is sent")
        assert device.uploaded == [CLIP, *segments]
        assert [(device.root / path).with_suffix(".uploaded").exists() for path in device.uploaded] == [True] * 3
        assert [(device.root / path).with_suffix(".lock").exists() for path in segments] == [True] * 2
        await device.until(lambda: device.offloading.vitals()["pending_count"] == 0, "nothing waits")
        await device.until(lambda: not children(), "the child has gone")
    assert {path: object_store.content(key_of(device, path)) for path in device.uploaded} == {
        path: (device.root / path).read_bytes() for path in device.uploaded
    }
    sizes = [(device.root / path).stat().st_size for path in device.uploaded]
    assert device.offloading.vitals() == {
        "pending_count": 0,
        "pending_bytes": 0,
        "sent_count": 3,
        "sent_bytes": sum(sizes),
        "sending": None,
        "last_error": None,
    }
    assert device.events[1][1] == {
        "camera": "cam0",
        "path": segments[0],
        "size_bytes": sizes[1],
        "bucket": BUCKET,
        "key": key_of(device, segments[0]),
        "released": False,
    }
    assert device.problems == []


async def test_footage_is_unlocked_when_it_is_stored_where_that_is_wanted(make: Callable[..., Device]) -> None:
    device = make(release_after_upload=True, prefix="vans/7/")
    (segment,) = device.store_segments(1)
    async with sending(device):
        await device.until(lambda: device.uploaded, "it is sent")
        assert device.events[0][1]["released"] is True
        assert device.events[0][1]["key"] == f"vans/7/{segment}"
        assert not (device.root / segment).with_suffix(".lock").exists()


async def test_a_store_that_is_out_of_order_is_one_problem_and_all_goes_on_when_it_is_back(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make()
    device.write_clip()
    object_store.fault(refuse=".")
    async with sending(device):
        await device.until(lambda: device.offloading._failures >= 2, "it is tried again")
        assert device.offloading.vitals()["last_error"]
        assert len(device.problems) == 1
        assert "500" in str(device.problems[0])
        object_store.fault()
        await device.until(lambda: device.uploaded, "it is sent")
        assert device.problems[1:] == [None]
        assert device.offloading.vitals()["last_error"] is None


async def test_a_problem_ends_when_nothing_waits_any_more(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make(secret_key="guessed")
    device.write_clip()
    async with sending(device):
        await device.until(lambda: device.problems, "the problem")
        assert "offload.secret_key_file" in str(device.problems[0])
        (device.root / CLIP).unlink()
        await device.until(lambda: device.problems[-1] is None, "its end")


async def test_a_child_that_is_killed_in_the_middle_is_replaced_and_sends_the_rest(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make()
    device.write_clip(TWO_PARTS)
    key = key_of(device, CLIP)
    object_store.fault(hold=f"{key}.*partNumber=2")
    async with sending(device):
        await device.until(lambda: any(key in line for line in object_store.held()), "the second part on its way")
        (child,) = children()
        os.kill(child, signal.SIGKILL)
        await device.until(lambda: device.problems, "the problem")
        object_store.fault()
        await device.until(lambda: device.uploaded, "it is sent")
    assert object_store.content(key) == (device.root / CLIP).read_bytes()
    brought = [line for line in object_store.requests() if key in line and "partNumber=1&" in f"{line.split()[1]}&"]
    assert len(brought) == 1, "the first part was not sent again"


async def test_nothing_is_sent_outside_of_the_hours_and_what_was_begun_is_gone_on_with_in_the_next_ones(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make(hours_utc="22:00-06:00")
    device.write_clip(TWO_PARTS)
    key = key_of(device, CLIP)
    async with sending(device):
        await device.until(lambda: device.offloading.vitals()["pending_count"] == 1, "it is known")
        assert (device.offloading.vitals()["sending"], children()) == (None, [])
        object_store.fault(hold=f"{key}.*partNumber=2")
        device.clock.wall = datetime(2026, 11, 23, 22, tzinfo=UTC)
        await device.until(lambda: any(key in line for line in object_store.held()), "the second part on its way")
        assert device.offloading.vitals()["sending"] == CLIP
        device.clock.wall = datetime(2026, 11, 24, 6, tzinfo=UTC)
        await device.until(lambda: not children(), "the child has gone")
        object_store.fault()
        assert object_store.names(key) == []
        device.clock.wall = datetime(2026, 11, 24, 22, tzinfo=UTC)
        await device.until(lambda: device.uploaded, "it is sent")
    assert object_store.content(key) == (device.root / CLIP).read_bytes()
    assert device.problems == [], "a closed window is no problem"


async def test_footage_that_cannot_be_read_holds_up_nothing_and_is_tried_again(
    make: Callable[..., Device], object_store: ObjectStore
) -> None:
    device = make()
    device.write_clip()
    first, second = device.store_segments(2)
    real = device.root / "real.mp4"
    object_store.fault(hold=f"{key_of(device, CLIP)}.*partNumber=1")
    async with sending(device):
        await device.until(lambda: device.offloading.vitals()["sending"] == CLIP, "the clip on its way")
        (device.root / first).rename(real)
        (device.root / first).symlink_to(real)
        object_store.fault()
        await device.until(lambda: device.uploaded == [CLIP, second], "the others are sent")
        await device.until(lambda: device.problems, "the problem")
        assert first in str(device.problems[0])
        real.replace(device.root / first)
        await device.until(lambda: device.uploaded == [CLIP, second, first], "it is sent")
        assert device.problems[-1] is None


async def test_what_cannot_be_marked_is_not_sent_twice(make: Callable[..., Device], object_store: ObjectStore) -> None:
    device = make()
    device.write_clip()
    obstacle = (device.root / CLIP).with_suffix(".uploaded.tmp")
    obstacle.mkdir()
    async with sending(device):
        await device.until(lambda: device.problems, "the problem")
        obstacle.rmdir()
        await device.until(lambda: device.uploaded, "it is marked")
        assert device.offloading.vitals()["sent_bytes"] == 1000
    key = re.escape(f"/{BUCKET}/{key_of(device, CLIP)}")
    assert len([line for line in object_store.requests() if re.match(f"PUT {key}", line)]) == 1


async def test_a_sender_that_cannot_be_started_is_the_reason_that_a_trial_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert await try_store(parse({})) == "the sender cannot be started now: No such file or directory"
