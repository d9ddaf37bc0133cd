"""Measures live view: `python -m tests.bench.fanout [--quick]`.

Plays the same frames at 30 fps into a pipe of every server in turn and lets one load client watch over loopback:
the agent, over HTTP and HTTPS, a floor in C (when there is a compiler), the plain Tornado way, FastAPI as a first
prototype would be built (when it is importable or can be installed into a temporary environment), and uStreamer and
mjpg-streamer (when their programs are in PATH; the latter built without libv4l2).

CPU is user and system time of the server process, its reading of the frames included, per frame that reached a viewer
whole; latency is from the write into the pipe to the whole frame at the viewer. Servers take turns within each round
and medians are printed, because a shared machine is not the same from minute to minute. Compare ratios, not times.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fanout_frames import Pattern
from tests.bench.fanout_peers import PEERS, Server, peers

ROOT = Path(__file__).parents[2]
FPS = 30
SIZES = {"25 KB": 25_000, "180 KB": 180_000}
VIEWERS = (1, 10, 50, 200)
PATIENCE_S = 60
SETTLE_S = 0.3


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


@dataclass(frozen=True)
class Tools:
    """What was found to measure with. `load` is the load client in C, None without a compiler."""

    load: str | None
    certificate: str | None


def load_client(tools: Tools, server: Server, port: int, viewers: int, seconds: float, size: int) -> list[str]:
    given = [str(port), server.path, str(viewers), str(seconds), str(size)]
    tls = "--certificate" in server.argv
    if tools.load and not tls:
        return [tools.load, *given]
    return [sys.executable, "-m", "tests.bench.fanout_load", *given, *([str(tools.certificate)] if tls else [])]


def measure(server: Server, size: int, viewers: int, seconds: float, tools: Tools, stuck: int = 0) -> Figures:
    """Start a server, feed it, watch it, end it. `stuck` viewers more never read what they get."""
    pattern = Pattern(size, viewers)
    with (
        subprocess.Popen(server.argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        ExitStack() as ends,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, 1 << 20)
        said = process.stdout.readline()
        if not said:
            raise SystemExit(f"{server.argv} did not start")
        port = int(said)
        feeder = Feeder(process.stdin.fileno(), pattern)
        feeder.start()
        feeder.over.wait(SETTLE_S)
        alone_mb = rss_mb(process.pid)
        for _ in range(stuck):
            end = ends.enter_context(socket.create_connection(("127.0.0.1", port)))
            end.sendall(f"GET {server.path} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
        argv = load_client(tools, server, port, viewers, seconds, size)
        with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(pattern.frame(0, 0))
            client.stdin.close()
            if client.stdout.readline() != b"ready\n":
                raise SystemExit(f"{server.argv} failed with {viewers} viewers")
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
    importing = [sys.executable, "-c", "import fastapi, uvicorn"]
    if subprocess.run(importing, capture_output=True, check=False).returncode == 0:
        return sys.executable
    print("installing FastAPI into a temporary environment", file=sys.stderr)
    made = subprocess.run([sys.executable, "-m", "venv", folder / "fastapi"], check=False).returncode == 0
    python = str(folder / "fastapi/bin/python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "fastapi", "uvicorn"]
    if made and subprocess.run(install, check=False).returncode == 0:
        return python
    print("no FastAPI, so its rows are missing", file=sys.stderr)
    return None


def compiled(source: str, folder: Path, *options: str) -> str | None:
    """The program or library made from a C file beside this one, None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = folder / source.removesuffix(".c")
    subprocess.run([compiler, "-O2", *options, "-o", program, Path(__file__).with_name(source)], check=True)
    return str(program)


def certificate(folder: Path) -> str | None:
    """A PEM file with a key and a certificate for loopback, None without the openssl program."""
    if shutil.which("openssl") is None:
        return None
    key, both = folder / "key.pem", folder / "both.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", *kind, "-subj", "/CN=bench", "-keyout", key, "-out", both], check=True, capture_output=True
    )
    both.write_bytes(key.read_bytes() + both.read_bytes())
    return str(both)


def servers(folder: Path, tools: Tools, fastapi: str | None, chosen: list[str] | None) -> dict[str, Server]:
    """All servers that this machine can run, or of the chosen ones."""
    found: dict[str, Server] = {}
    floor = compiled("floor.c", folder)
    camera = compiled("camera.c", folder, "-shared", "-fPIC")
    if floor:
        found |= {"floor send": Server([floor, "send"]), "floor sendfile": Server([floor, "sendfile"])}
    else:
        print("no C compiler: no floor, no peers, and a dearer load client", file=sys.stderr)
    agent = [sys.executable, "-m", "tests.bench.fanout_agent"]
    found["agent"] = Server(agent)
    found["tornado"] = Server([sys.executable, "-m", "tests.bench.fanout_tornado"])
    if chosen is None or "fastapi" in chosen:
        python = fastapi or fastapi_python(folder)
        if python:
            found["fastapi"] = Server([python, "-m", "tests.bench.fanout_fastapi"])
    if camera:
        found |= peers(camera, [name for name in PEERS if chosen is None or name in chosen])
    if tools.certificate:
        found["agent https"] = Server([*agent, "--certificate", tools.certificate])
    return {name: server for name, server in found.items() if chosen is None or name in chosen}


def median(rounds: list[Figures]) -> Figures:
    fields = Figures.__dataclass_fields__
    return Figures(**{name: statistics.median(getattr(one, name) for one in rounds) for name in fields})


def report(title: str, results: dict[str, Figures]) -> None:
    """One table, with every CPU figure as a multiple of the better floor's and of the agent's."""
    floors = [figures.cpu_us for name, figures in results.items() if name.startswith("floor")]
    print(f"\n{title}\n")
    print("| server | CPU us/frame | x floor | x agent | RSS MB | grown MB | p50 ms | p99 ms | dropped |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, it in results.items():
        to_floor = f"{it.cpu_us / min(floors):.2f}" if floors else "-"
        to_agent = f"{it.cpu_us / results['agent'].cpu_us:.2f}" if "agent" in results else "-"
        print(
            f"| {name} | {it.cpu_us:.1f} | {to_floor} | {to_agent} | {it.rss_mb:.1f} | {it.grown_mb:.2f} |"
            f" {it.p50_ms:.2f} | {it.p99_ms:.2f} | {it.dropped_percent:.1f} % |",
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of three loads, in under 90 s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each server is measured in each round")
    names = ("floor send", "floor sendfile", "agent", "tornado", "fastapi", *PEERS, "agent https")
    parser.add_argument("--servers", nargs="+", choices=names, help="only these")
    parser.add_argument("--viewers", type=int, nargs="+", default=VIEWERS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    parser.add_argument("--stuck", type=int, default=0, help="so many viewers more that never read")
    parser.add_argument("--fastapi-python", help="an interpreter that has fastapi and uvicorn")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    loads = [(size, viewers) for size in given.sizes for viewers in given.viewers]
    rounds, seconds = given.rounds, given.seconds
    if given.quick:
        loads, rounds, seconds = [("25 KB", 10), ("25 KB", 50), ("180 KB", 50)], 1, 1.5
    with tempfile.TemporaryDirectory(prefix="fanout-") as made:
        folder = Path(made)
        tools = Tools(compiled("load.c", folder), certificate(folder))
        compared = servers(folder, tools, given.fastapi_python, given.servers)
        for size, viewers in loads:
            found: defaultdict[str, list[Figures]] = defaultdict(list)
            for _ in range(rounds):
                for name, server in compared.items():
                    found[name].append(measure(server, SIZES[size], viewers, seconds, tools, given.stuck))
            stuck = f", and {given.stuck} that never read" if given.stuck else ""
            report(f"{size}, {viewers} viewers{stuck}", {name: median(many) for name, many in found.items()})


if __name__ == "__main__":
    main()
