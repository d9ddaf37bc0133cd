"""What a power cut costs on a real ext4: `python -m tests.bench.power_cut [CUTS]`, as root, for the loop device.

A writer stands for a recorder and its agent: a fragment of one second every 50 ms, segments of ten seconds, looked at,
synced and committed half-way to the next. At random instants the writer is stopped and the image below the file system
is copied: the copy holds what the kernel had written out, and nothing of what was still in memory. It is then mounted
and recovered as at a start. Each cut has to keep what had been reported as verified.

What this cannot show: a disk that loses or reorders what it had reported as written.
"""

from __future__ import annotations

import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_agent.storage.archive import Archive
from edge_agent.storage.spool import Spool
from tests.storage.footage import TICK, box, fragment, moov, now, run_record

IMAGE_BYTES = 64 << 20
SEGMENT_S = 10
FRAGMENT_EVERY_S = 0.05
HEAD = box(b"ftyp", b"isom") + moov()


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def write(root: Path, state: Path) -> None:
    """Record for ever; after each second one line: seconds written, seconds verified."""
    archive = Archive(root, state)
    archive.reconcile()
    spool = Spool(root)
    run = spool.create(replace(run_record(), first_frame=now()))
    for second in range(10**6):
        index, within = divmod(second, SEGMENT_S)
        with (run.directory / f"{index:06d}.mp4").open("ab") as file:
            file.write((HEAD if within == 0 else b"") + fragment(within * 30 * TICK, [300] * 30))
        if within == SEGMENT_S - 1:
            with run.list_path.open("a") as file:
                file.write(f"{index:06d}.mp4,{index * SEGMENT_S},{second + 1}\n")
        os.write(1, f"{second + 1} ".encode())
        select.select([], [], [], FRAGMENT_EVERY_S / 2)
        for spooled in run.look(now(second + 1)).closed:
            archive.commit(run, spooled)
        os.write(1, f"{run.sync_open().verified_s}\n".encode())
        select.select([], [], [], FRAGMENT_EVERY_S / 2)


def held_s(root: Path, state: Path) -> float:
    """Seconds of footage that a start finds."""
    archive = Archive(root, state)
    archive.reconcile()
    for run in Spool(root).runs():
        for spooled in run.look(now(10**6), finished=True).closed:
            archive.commit(run, spooled)
    held = archive.window(None, None, None)
    archive.close()
    if [segment.index for segment in held] != list(range(len(held))):
        sys.exit(f"footage is missing in the middle: {held}")
    return sum(segment.duration_s for segment in held)


def told(output: int, buffer: bytearray) -> tuple[float, float]:
    """Seconds written and verified, by the newest lines."""
    while select.select([output], [], [], 0)[0]:
        chunk = os.read(output, 65536)
        if not chunk:
            sys.exit("the writer has gone")
        buffer += chunk
    *_, last, rest = [b"", *buffer.split(b"\n")]
    verified_s = float(last.split()[1]) if last else 0.0
    return float((rest or last or b"0").split()[0]), verified_s


def cut_once(folder: Path, wait_s: float) -> tuple[float, float]:
    """Seconds lost and the milliseconds of recovery, for one cut after about `wait_s`."""
    image, copy = folder / "image", folder / "copy"
    image.write_bytes(b"")
    os.truncate(image, IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    with mounted(image, folder / "live") as live:
        command = [sys.executable, "-m", "tests.bench.power_cut", "write", str(live / "root"), str(live / "state")]
        (live / "root").mkdir()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            select.select([writer.stdout], [], [], 60)
            select.select([], [], [], wait_s)
            writer.send_signal(signal.SIGSTOP)
            copy.write_bytes(image.read_bytes())
            written_s, verified_s = told(writer.stdout.fileno(), bytearray())
            writer.kill()
    with mounted(copy, folder / "after") as after:
        began_s = time.perf_counter()
        held = held_s(after / "root", after / "state")
        took_ms = (time.perf_counter() - began_s) * 1000
    if held < verified_s:
        sys.exit(f"{verified_s} s were verified, {held} s are held")
    return written_s - held, took_ms


def main(cuts: int) -> None:
    chance = random.Random()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        results = [cut_once(Path(folder), chance.uniform(0, 3)) for _ in range(cuts)]
    lost_s, took_ms = zip(*results, strict=True)
    print(f"{cuts} cuts, fragments of 1 s, a sync after each: all that was verified was held")
    print(f"lost of what had been written: median {statistics.median(lost_s):.1f} s, worst {max(lost_s):.1f} s")
    print(f"recovery: median {statistics.median(took_ms):.0f} ms, worst {max(took_ms):.0f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
