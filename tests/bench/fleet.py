"""Measures commands and fleets on one mosquitto: `python -m tests.bench.fleet [--devices N] [--seconds S] [--tls]`.

First the way of one command to a real agent and back, with the broker's `set_tcp_nodelay` on and off: from the publish
to the final result on the response topic, all three processes on this machine, commands far enough apart that the
agent's rate limit does not bite. Then N simulated devices with telemetry every 10 s: what they cost the broker and the
simulator, idle and recording, with one subscriber who hears all of it, and how long it takes until all have answered a
command to `@all`, with their answers spread over 500 ms as the contract wants.

CPU is user and system time in per cent of one core. A shared machine is not the same from minute to minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pwd
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.app.line import Line, connected
from edge_agent.config import Config, parse
from edge_agent.mqtt.messages import Incoming, Message
from tests.fakes.mosquitto import Certificates, executable, free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180
BETWEEN_S = 0.12
TELEMETRY_S = 10
ROUNDS = 5


@dataclass(frozen=True)
class Broker:
    """A running mosquitto; `ca` where it speaks TLS."""

    pid: int
    port: int
    ca: Path | None

    def config(self, device: str = "bench") -> Config:
        mqtt: dict[str, object] = {"host": "localhost", "port": self.port}
        if self.ca is not None:
            mqtt |= {"tls": True, "ca_file": str(self.ca)}
        return parse({"device": {"id": device}, "mqtt": mqtt})

    def variables(self, folder: Path) -> dict[str, str]:
        """The environment of an agent that uses this broker and records into `folder`."""
        keys = {
            "MQTT__HOST": "localhost",
            "MQTT__PORT": self.port,
            "DEVICE__ID": "bench",
            "DEVICE__STATE_DIR": folder / "state",
            "RECORDING__ROOT": folder / "root",
            "RPICAM__COMMAND": "simulated",
            "WEB__PORT": 0,
            "HOMEASSISTANT__ENABLED": "false",
        }
        if self.ca is not None:
            keys |= {"MQTT__TLS": "true", "MQTT__CA_FILE": self.ca}
        named = {f"EDGE_AGENT__{key}": str(value) for key, value in keys.items()}
        return {**os.environ, "PYTHONPATH": str(ROOT), **named}


def cpu_s(pid: int) -> float:
    """Time that all threads of a process have run, which the scheduler counts exactly, unlike the clock ticks."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def mosquitto(folder: Path, *, nodelay: bool, tls: bool) -> Iterator[Broker]:
    """A broker as deploy/fleet has it, without users."""
    folder.mkdir()
    port, ca = free_port(), None
    lines = [f"listener {port} localhost", f"user {pwd.getpwuid(os.getuid()).pw_name}", "allow_anonymous true"]
    lines += [
        f"set_tcp_nodelay {str(nodelay).lower()}",
        "sys_interval 1",
        "max_queued_messages 20000",
        "log_type error",
    ]
    if tls:
        made = Certificates.make(folder / "certificates")
        ca = made.ca
        lines += [f"certfile {made.server.cert}", f"keyfile {made.server.key}"]
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with subprocess.Popen([executable("mosquitto"), "-c", folder / "mosquitto.conf"]) as process:
        try:
            yield Broker(process.pid, port, ca)
        finally:
            process.terminate()


@contextmanager
def agent(broker: Broker, folder: Path, *arguments: str, ready: str) -> Iterator[int]:
    """A process of ours, from the line that says it is ready; its pid."""
    folder.mkdir()
    command = [sys.executable, "-m", "edge_agent", *arguments]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, env=broker.variables(folder), cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            next(line for line in process.stdout if line.startswith(ready))
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


class Ears:
    """Notes when the final answers to the latest order came, and counts what devices publish by themselves."""

    def __init__(self) -> None:
        self.order = ""
        self.finals_s: list[float] = []
        self.told = 0
        self.heard = asyncio.Event()

    def take(self, message: Incoming) -> None:
        if "/@reply/" not in message.topic:
            self.told += 1
            return
        document = json.loads(message.payload)
        if document.get("id") == self.order and document["status"] != "accepted":
            self.finals_s.append(time.monotonic())
            self.heard.set()


@asynccontextmanager
async def listening(broker: Broker) -> AsyncIterator[tuple[Line, Ears]]:
    ears = Ears()
    async with connected(broker.config(), ears.take) as line:
        await line.listen([line.reply_topic, *(f"blackbox/+/{kind}" for kind in ("telemetry", "status", "event"))])
        yield line, ears


async def ask(line: Line, ears: Ears, topic: str, answers: int, keys: dict[str, object]) -> list[float]:
    """Seconds from the publish to each of the final answers."""
    ears.order, ears.finals_s = f"{time.monotonic_ns():x}", []
    payload = json.dumps({"id": ears.order, **keys}).encode()
    began_s = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        await line.publish(Message(topic, payload, reply_to=line.reply_topic))
        while len(ears.finals_s) < answers:
            ears.heard.clear()
            await ears.heard.wait()
    return [at_s - began_s for at_s in ears.finals_s]


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


# -- one command ------------------------------------------------------------------------------------------------------


async def round_trips(broker: Broker, pid: int, commands: int) -> tuple[list[float], float]:
    """Seconds of each round trip, and the agent's CPU seconds for a command beyond what it needs idle."""
    async with listening(broker) as (line, ears):
        await asyncio.sleep(2)
        began_s, idle_s = time.monotonic(), cpu_s(pid)
        await asyncio.sleep(5)
        idle_share = (cpu_s(pid) - idle_s) / (time.monotonic() - began_s)
        began_s, busy_s, took = time.monotonic(), cpu_s(pid), []
        for _ in range(commands):
            took += await ask(line, ears, "blackbox/bench/cmd/ping", 1, {})
            await asyncio.sleep(BETWEEN_S)
        passed_s = time.monotonic() - began_s
        return took, (cpu_s(pid) - busy_s - idle_share * passed_s) / commands


def one_agent(folder: Path, commands: int, *, tls: bool) -> None:
    print(f"one command to a real agent and back (ping, {commands} times, {BETWEEN_S * 1000:.0f} ms apart)")
    print(f"{'broker':<28}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}{'CPU us a command':>18}")
    for name, nodelay in (("set_tcp_nodelay true", True), ("mosquitto's default", False)):
        with (
            mosquitto(folder / f"broker-{nodelay}", nodelay=nodelay, tls=tls) as broker,
            agent(broker, folder / f"agent-{nodelay}", "run", ready="Try:") as pid,
        ):
            took, cpu = asyncio.run(round_trips(broker, pid, commands))
        p50, p99 = statistics.median(took) * 1000, quantile(took, 0.99) * 1000
        print(f"{name:<28}{p50:>8.2f}{p99:>8.2f}{max(took) * 1000:>8.2f}{cpu * 1e6:>18.0f}", flush=True)


# -- a fleet ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Processes:
    broker: int
    simulator: int


async def steady(ears: Ears, pids: Processes, seconds: float, name: str) -> None:
    """Print what goes on for a while."""
    began_s, told = time.monotonic(), ears.told
    cpu = {pid: cpu_s(pid) for pid in (pids.broker, pids.simulator)}
    await asyncio.sleep(seconds)
    passed_s = time.monotonic() - began_s
    rate = (ears.told - told) / passed_s
    share = {pid: 100 * (cpu_s(pid) - before) / passed_s for pid, before in cpu.items()}
    memory = f"{rss_mb(pids.broker):>10.1f}{rss_mb(pids.simulator):>10.1f}"
    print(f"{name:<22}{rate:>10.1f}{share[pids.broker]:>12.1f}{share[pids.simulator]:>12.1f}{memory}", flush=True)


async def ask_all(line: Line, ears: Ears, verb: str, devices: int, rounds: int, keys: dict[str, object]) -> None:
    """Print how long it takes until the whole fleet has answered."""
    firsts, halves, lasts = [], [], []
    for _ in range(rounds):
        took = sorted(await ask(line, ears, f"blackbox/@all/cmd/{verb}", devices, keys))
        firsts.append(took[0])
        halves.append(took[len(took) // 2])
        lasts.append(took[-1])
        await asyncio.sleep(2)
    last = f"{statistics.median(lasts) * 1000:>10.0f}{max(lasts) * 1000:>10.0f}"
    print(
        f"@all {verb:<17}{statistics.median(firsts) * 1000:>10.0f}{statistics.median(halves) * 1000:>10.0f}{last}",
        flush=True,
    )


async def observe(broker: Broker, pids: Processes, devices: int, seconds: float) -> None:
    async with listening(broker) as (line, ears):
        await asyncio.sleep(3)
        print(f"\n{'':<22}{'messages/s':>10}{'broker %':>12}{'simulator %':>12}{'broker MB':>10}{'simul. MB':>10}")
        await steady(ears, pids, seconds, f"{devices} idle")
        print(f"\n{'answers of all, ms':<22}{'first':>10}{'half':>10}{'last':>10}{'worst':>10}")
        await ask_all(line, ears, "ping", devices, ROUNDS, {})
        await ask_all(line, ears, "start", devices, 1, {"mode": "dual-640"})
        print()
        await steady(ears, pids, seconds, f"{devices} recording")
        print()
        await ask_all(line, ears, "stop", devices, 1, {})


def a_fleet(folder: Path, devices: int, seconds: float, *, tls: bool) -> None:
    with mosquitto(folder / "broker", nodelay=True, tls=tls) as broker:
        time.sleep(0.5)  # it has grown to its size by then
        alone_mb, began_s, before_s = rss_mb(broker.pid), time.monotonic(), cpu_s(broker.pid)
        command = ("simulate", "--devices", str(devices), "--telemetry-interval", str(TELEMETRY_S), "--keep")
        with agent(broker, folder / "fleet", *command, ready=f"{devices} of {devices} ") as simulator:
            up_s, spent_s = time.monotonic() - began_s, cpu_s(broker.pid) - before_s
            grown_kb = (rss_mb(broker.pid) - alone_mb) * 1024 / devices
            mine_kb = rss_mb(simulator) * 1024 / devices
            how = "TLS" if tls else "plain"
            print(f"\n{devices} simulated devices on one mosquitto ({how}), telemetry every {TELEMETRY_S} s")
            print(f"all connected after {up_s:.1f} s, which cost the broker {spent_s:.1f} s of CPU")
            print(f"memory a device: broker {grown_kb:.1f} KB, simulator {mine_kb:.1f} KB")
            asyncio.run(observe(broker, Processes(broker.pid, simulator), devices, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30, help="of each steady state")
    parser.add_argument("--commands", type=int, default=300)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as name:
        one_agent(Path(name), options.commands, tls=options.tls)
        a_fleet(Path(name), options.devices, options.seconds, tls=options.tls)


if __name__ == "__main__":
    main()
