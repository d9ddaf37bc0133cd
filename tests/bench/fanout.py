"""Measures live view: `python -m tests.bench.fanout [--quick]`.

Plays the same frames at 30 fps into a pipe of every server in turn and lets one load client watch over loopback:
the agent, a floor in C (when there is a compiler), the plain Tornado way, and FastAPI as a first prototype would be
built (when it is importable or can be installed into a temporary environment).

CPU is user and system time of the server process, its reading of the frames included, per frame that reached a viewer
whole; latency is from the write into the pipe to the whole frame at the viewer. Servers take turns within each round
and medians are printed, because a shared machine is not the same from minute to minute. Compare ratios, not times.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fanout_frames import Pattern

ROOT = Path(__file__).parents[2]
FPS = 30
SIZES = {"25 KB": 25_000, "180 KB": 180_000}
VIEWERS = (1, 10, 50, 200)
PATIENCE_S = 60


@dataclass(frozen=True)
class Figures:
    """What one server did with one load."""

    cpu_us: float
    rss_mb: float
    grown_mb: float
    p50_ms: float
    p99_ms: float
    dropped_percent: float


def cpu_ns(pid: int) -> int:
    """Time that all threads of a process have run, which the scheduler counts exactly, unlike the clock ticks."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Feeder(threading.Thread):
    """A camera: writes a frame every 1/30 s, later if the pipe is full, until its reader goes or `over` is set."""

    def __init__(self, pipe: int, pattern: Pattern) -> None:
        super().__init__(daemon=True)
        self.pipe = pipe
        self.pattern = pattern
        self.over = threading.Event()

    def run(self) -> None:
        number, due_s = 0, time.monotonic()
        with open(self.pipe, "wb", buffering=0, closefd=False) as pipe:
            while not self.over.wait(max(0.0, due_s - time.monotonic())):
                due_s = max(due_s, time.monotonic() - 1 / FPS) + 1 / FPS
                number += 1
                rest = memoryview(self.pattern.frame(number, time.monotonic_ns()))
                try:
                    while rest:
                        rest = rest[pipe.write(rest) :]
                except BrokenPipeError:
                    return


def measure(server: list[str], size: int, viewers: int, seconds: float, certificate: str | None = None) -> Figures:
    """Start a server, feed it, watch it, end it."""
    extra = ["--certificate", certificate] if certificate else []
    with subprocess.Popen([*server, *extra], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, 1 << 20)
        port = int(process.stdout.readline())
        feeder = Feeder(process.stdin.fileno(), Pattern(size, viewers))
        feeder.start()
        load = [sys.executable, "-m", "tests.bench.fanout_load", port, viewers, seconds, size, viewers]
        alone_mb = 0.0
        with subprocess.Popen(
            [*map(str, load), *([certificate] if certificate else [])], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            alone_mb = rss_mb(process.pid)
            if client.stdout.readline() != "ready\n":
                raise SystemExit(f"{server} failed with {viewers} viewers")
            before_ns = cpu_ns(process.pid)
            line = client.stdout.readline()
            spent_ns = cpu_ns(process.pid) - before_ns
            full_mb = rss_mb(process.pid)
        feeder.over.set()
        feeder.join(PATIENCE_S)
        process.stdin.close()
        process.terminate()
    found = json.loads(line)
    return Figures(
        cpu_us=spent_ns / 1e3 / max(1, found["delivered"]),
        rss_mb=full_mb,
        grown_mb=full_mb - alone_mb,
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        dropped_percent=100 * found["dropped"] / max(1, found["delivered"] + found["dropped"]),
    )


def fastapi_python(folder: Path) -> str | None:
    """An interpreter that can import FastAPI and uvicorn: this one, or that of an environment made for the purpose."""
    if subprocess.run([sys.executable, "-c", "import fastapi, uvicorn"], capture_output=True, check=False).returncode == 0:
        return sys.executable
    print("installing FastAPI into a temporary environment", file=sys.stderr)
    made = subprocess.run([sys.executable, "-m", "venv", folder / "fastapi"], check=False).returncode == 0
    python = str(folder / "fastapi/bin/python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "fastapi", "uvicorn"]
    if made and subprocess.run(install, check=False).returncode == 0:
        return python
    print("no FastAPI, so its rows are missing", file=sys.stderr)
    return None


@contextmanager
def servers(chosen: str | None, python_of_fastapi: str | None) -> Iterator[dict[str, list[str]]]:
    """The command lines of all servers that this machine can run; `chosen` names a few, between commas."""
    with tempfile.TemporaryDirectory(prefix="fanout-") as name:
        folder = Path(name)
        found = {}
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler:
            floor = folder / "floor"
            subprocess.run([compiler, "-O2", "-o", floor, Path(__file__).with_name("floor.c")], check=True)
            found["floor send"] = [str(floor), "send"]
            found["floor sendfile"] = [str(floor), "sendfile"]
        else:
            print("no C compiler, so the floor is missing", file=sys.stderr)
        found["agent"] = [sys.executable, "-m", "tests.bench.fanout_agent"]
        found["tornado"] = [sys.executable, "-m", "tests.bench.fanout_tornado"]
        if chosen is None or "fastapi" in chosen.split(","):
            python = python_of_fastapi or fastapi_python(folder)
            if python:
                found["fastapi"] = [python, "-m", "tests.bench.fanout_fastapi"]
        yield {name: argv for name, argv in found.items() if chosen is None or name in chosen.split(",")}


def median(rounds: list[Figures]) -> Figures:
    fields = Figures.__dataclass_fields__
    return Figures(**{name: statistics.median(getattr(one, name) for one in rounds) for name in fields})


def report(size: str, viewers: int, results: dict[str, Figures]) -> None:
    """One table, with every CPU figure as a multiple of the better floor's, and the agent's as a part of the others'."""
    floors = [figures.cpu_us for name, figures in results.items() if name.startswith("floor")]
    print(f"\n{size}, {viewers} viewer{'s' * (viewers > 1)}")
    print("| server | CPU us/frame | x floor | RSS MB | grown MB | p50 ms | p99 ms | dropped |")
    print("|---|---|---|---|---|---|---|---|")
    for name, it in results.items():
        ratio = f"{it.cpu_us / min(floors):.2f}" if floors else "-"
        print(
            f"| {name} | {it.cpu_us:.1f} | {ratio} | {it.rss_mb:.1f} | {it.grown_mb:.2f} |"
            f" {it.p50_ms:.2f} | {it.p99_ms:.2f} | {it.dropped_percent:.1f} % |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of three loads, in under 90 s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each server is measured in each round")
    parser.add_argument("--servers", help="only these: agent, tornado, fastapi, 'floor send', 'floor sendfile'")
    parser.add_argument("--viewers", type=int, nargs="+", default=VIEWERS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--fastapi-python", help="an interpreter that has fastapi and uvicorn")
    given = parser.parse_args()
    loads = [(size, viewers) for size in given.sizes for viewers in given.viewers]
    rounds, seconds = given.rounds, given.seconds
    if given.quick:
        loads, rounds, seconds = [("25 KB", 10), ("25 KB", 50), ("180 KB", 50)], 1, 2.0
    with servers(given.servers, given.fastapi_python) as commands:
        for size, viewers in loads:
            found: defaultdict[str, list[Figures]] = defaultdict(list)
            for _ in range(rounds):
                for name, argv in commands.items():
                    found[name].append(measure(argv, SIZES[size], viewers, seconds))
            report(size, viewers, {name: median(many) for name, many in found.items()})


if __name__ == "__main__":
    main()
