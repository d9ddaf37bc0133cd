"""How long the archive takes with 100,000 segments, how much memory, and what a cut costs.

`python -m tests.bench.archive [SEGMENTS] [FOLDER]` fills FOLDER (a temporary one by default) with small segments of
two cameras and prints: a scan that rebuilds the lost cache, a scan as at every start, pages, and the footage lost by
cutting the open segment at 200 random bytes. Each part runs in a process of its own, so that its memory can be told.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from edge_agent.core.model import Profile
from edge_agent.core.retention import Policy, RetentionPlan, VolumeState
from edge_agent.core.segments import segment_path
from edge_agent.storage.archive import Archive
from edge_agent.storage.index import Filter
from edge_agent.storage.metadata import Metadata, encode_box
from edge_agent.storage.spool import Spool
from tests.storage.footage import AT, now, run_record, segment, spool_segment

SEGMENT_S = 60
CUTS = 200


def fill(root: Path, count: int) -> None:
    """Two cameras' minutes, alternating, as if they had been recorded in one run each."""
    content = segment(1, sample_bytes=1)
    for camera in ("cam0", "cam1"):
        (root / "640x480" / camera).mkdir(parents=True)
    for number in range(count):
        index, which = divmod(number, 2)
        started_at = AT + timedelta(seconds=SEGMENT_S * index)
        path = root / segment_path(f"cam{which}", Profile(640, 480, 30), started_at)
        described = Metadata(
            run_id=f"20261123T091500Z-{which + 1:06d}-cam{which}",
            sequence=which + 1,
            index=index,
            camera=f"cam{which}",
            mode="dual-640",
            label=None,
            started_at=started_at,
            duration_s=SEGMENT_S,
            width=640,
            height=480,
            fps=30,
            boot_id="boot",
            mono_s=1000.0 + SEGMENT_S * index,
            clock_synchronized=True,
        )
        path.write_bytes(content + encode_box(described))


def timed(what: str, call: Callable[[], object], times: int = 1) -> None:
    took_ms: list[float] = []
    for _ in range(times):
        began_s = time.perf_counter()
        call()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    worst = f", worst {max(took_ms):.1f} ms" if times > 1 else ""
    print(f"  {what}: {statistics.median(took_ms):.1f} ms{worst}")


def memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def scan(root: Path, state: Path) -> None:
    before_mib = memory_mib()
    archive = Archive(root, state)
    timed("scan", archive.reconcile)
    print(f"  {archive.usage().count} segments; peak memory {before_mib:.0f} MiB before, {memory_mib():.0f} MiB after")


def ask(root: Path, state: Path) -> None:
    archive = Archive(root, state)
    newest = archive.page(Filter())
    day = Filter(start=AT + timedelta(days=1), end=AT + timedelta(days=2))
    timed("first page of 100", lambda: archive.page(Filter()), 20)
    timed("next page", lambda: archive.page(Filter(), 100, newest.next_cursor), 20)
    timed("page of one camera", lambda: archive.page(Filter(camera="cam1")), 20)
    timed("page of one early day", lambda: archive.page(day), 20)
    timed("page of locked ones, none there", lambda: archive.page(Filter(locked=True)), 20)
    timed("page of a label that nothing has", lambda: archive.page(Filter(label="none")), 20)
    timed("window of 5 minutes", lambda: archive.window("cam0", AT, AT + timedelta(minutes=5)), 20)
    timed("usage", archive.usage, 20)
    print(f"  peak memory {memory_mib():.0f} MiB")
    volume = VolumeState(free_bytes=10**6, total_bytes=10**9)
    for what, policy in (("", Policy(1_002_000, 0)), (" where age counts", Policy(0, 0, max_age_s=3600))):
        timed(f"retention plan{what}", lambda policy=policy: planned(archive, volume, policy), 3)  # type: ignore[misc]
        print(f"  peak memory {memory_mib():.0f} MiB")


def planned(archive: Archive, volume: VolumeState, policy: Policy) -> RetentionPlan:
    return archive.retention_plan(volume, policy, now(10**6), clock_synchronized=True)


def cut(root: Path, state: Path) -> None:
    chance = random.Random(1)
    archive = Archive(root, state)
    archive.reconcile()
    content = segment(SEGMENT_S)
    lost_s: list[float] = []
    took_ms: list[float] = []
    for number in range(CUTS):
        size = chance.randrange(len(segment(1)), len(content))
        run = Spool(root).create(run_record(100 + number, first=now(SEGMENT_S * number)))
        spool_segment(run, 0, content[:size])
        began_s = time.perf_counter()
        (found,) = Spool(root).runs()
        (spooled,) = found.look(now(), finished=True).closed
        stored = archive.commit(found, spooled)
        found.remove()
        took_ms.append((time.perf_counter() - began_s) * 1000)
        lost_s.append(SEGMENT_S * size / len(content) - (stored.duration_s if stored else 0))
    print(f"  footage lost: median {statistics.median(lost_s):.2f} s, worst {max(lost_s):.2f} s (of what was written)")
    print(f"  recovery of a run: median {statistics.median(took_ms):.1f} ms, worst {max(took_ms):.1f} ms")


PARTS = {"scan": scan, "ask": ask, "cut": cut}


def main(count: int, folder: Path) -> None:
    root = folder / "root"
    began_s = time.perf_counter()
    fill(root, count)
    print(f"{count} segments written in {time.perf_counter() - began_s:.0f} s")
    for title, part, where in (
        ("cache lost", "scan", root),
        ("every start", "scan", root),
        ("questions", "ask", root),
        (f"{CUTS} cuts", "cut", folder / "cut"),
    ):
        print(title, flush=True)
        state = folder / "state" if where == root else folder / "cut state"
        where.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "tests.bench.archive", part, str(where), str(state)], check=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words and words[0] in PARTS:
        PARTS[words[0]](Path(words[1]), Path(words[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(int(words[0]) if words else 100_000, Path(words[1]) if len(words) > 1 else Path(temporary))
