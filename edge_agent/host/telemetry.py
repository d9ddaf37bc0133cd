"""The machine's figures, by psutil and from the files of the kernel. What the machine does not tell is None."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from edge_agent import ports

VCGENCMD_TIMEOUT_S = 2.0
"""It asks the firmware, normally within 5 ms; hanging firmware must not hold the telemetry."""

_UNMEASURED = (
    "cpu_percent",
    "load_1m",
    "memory_percent",
    "memory_available_bytes",
    "temperature_c",
    "under_voltage",
    "throttled",
    "uptime_s",
)
_UNDER_VOLTAGE = 0x1
_SLOWED = 0x2 | 0x4 | 0x8
"""Frequency capped, throttled, soft temperature limit: the processor runs slower than it could."""
_SINCE_BOOT_SHIFT = 16
"""The same bits again, 16 higher, for "has occurred since boot" (Raspberry Pi documentation, get_throttled)."""

log = logging.getLogger(__name__)

_CPU_ZONES = re.compile(r"cpu|soc|x86_pkg", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Counters:
    """What grows: a figure is the difference of two of these."""

    mono_s: float
    cpu_busy_s: float
    cpu_total_s: float
    agent_cpu_s: float
    network: dict[str, tuple[int, int]]


class HostTelemetry:
    """Measures this machine and this process. Keep one; its rates are those since the last `sample`."""

    def __init__(
        self, clock: ports.Clock, sys: Path = Path("/sys"), proc: Path = Path("/proc"), vcgencmd: str = "vcgencmd"
    ) -> None:
        self._clock = clock
        self._sys = sys
        self._proc = proc
        self._vcgencmd = vcgencmd
        self._process = psutil.Process()
        self._started_mono_s = clock.now().mono_s
        self._before = self._count()
        self._occurred: int | None = None
        self._failing = False

    def sample(self) -> dict[str, Any]:
        """The host's part of the telemetry, under the document's keys. Blocking (files, a child process); no sleep.

        Call from one thread at a time. Rates are None when no time has passed since the last sample. All is None where
        the kernel does not even let its files be opened, as to a process without a free descriptor.
        """
        try:
            measured = self._measured()
        except OSError as error:
            if not self._failing:
                log.warning("this machine cannot be measured now: %s", error)
            self._failing = True
            return dict.fromkeys(_UNMEASURED) | {"network": {}, "agent": {}}
        self._failing = False
        return measured

    def _measured(self) -> dict[str, Any]:
        before, after = self._before, self._count()
        self._before = after
        memory = psutil.virtual_memory()
        under_voltage, throttled = self._power()
        elapsed_s = after.mono_s - before.mono_s
        return {
            "cpu_percent": _percent(after.cpu_busy_s - before.cpu_busy_s, after.cpu_total_s - before.cpu_total_s),
            "load_1m": round(os.getloadavg()[0], 2),
            "memory_percent": memory.percent,
            "memory_available_bytes": memory.available,
            "temperature_c": self._temperature_c(),
            "under_voltage": under_voltage,
            "throttled": throttled,
            "uptime_s": self._uptime_s(),
            "network": _network(before, after, elapsed_s),
            "agent": {
                "cpu_percent": _percent(after.agent_cpu_s - before.agent_cpu_s, elapsed_s),
                "rss_bytes": self._process.memory_info().rss,
                "uptime_s": round(after.mono_s - self._started_mono_s, 1),
            },
        }

    def _count(self) -> _Counters:
        cpu = psutil.cpu_times()
        total_s = sum(cpu[:8])  # user to steal; guest times behind them are counted in user already (proc_stat(5))
        agent = self._process.cpu_times()
        cards = psutil.net_io_counters(pernic=True)
        return _Counters(
            mono_s=self._clock.now().mono_s,
            cpu_busy_s=total_s - cpu.idle - cpu.iowait,
            cpu_total_s=total_s,
            agent_cpu_s=agent.user + agent.system,
            network={name: (card.bytes_recv, card.bytes_sent) for name, card in cards.items() if name != "lo"},
        )

    def _uptime_s(self) -> float | None:
        """Seconds since boot; from the kernel, because psutil's boot time moves with the wall clock."""
        text = _read(self._proc / "uptime")
        return _number(text.split()[0]) if text else None

    def _temperature_c(self) -> float | None:
        """The processor's zone, else the first that there is."""
        zones = sorted((self._sys / "class" / "thermal").glob("thermal_zone*"))
        zones.sort(key=lambda zone: _CPU_ZONES.search(_read(zone / "type") or "") is None)
        for zone in zones:
            millidegrees = _number(_read(zone / "temp"))
            if millidegrees is not None:
                return round(millidegrees / 1000, 1)
        return None

    def _power(self) -> tuple[bool | None, bool | None]:
        """Under-voltage and slowed-down, now or at any time since the last sample; None without a Pi's firmware."""
        word = self._throttled_word()
        if word is None:
            return None, None
        occurred = word >> _SINCE_BOOT_SHIFT
        fresh = 0 if self._occurred is None else occurred & ~self._occurred
        self._occurred = occurred
        bits = word | fresh
        return bool(bits & _UNDER_VOLTAGE), bool(bits & _SLOWED)

    def _throttled_word(self) -> int | None:
        for path in sorted(self._sys.glob("devices/platform/soc*/*firmware*/get_throttled")):
            if (text := _read(path)) is not None and (match := re.fullmatch(r"(?:0x)?([0-9a-f]{1,8})", text)):
                return int(match[1], 16)
        try:
            done = subprocess.run(
                [self._vcgencmd, "get_throttled"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=VCGENCMD_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        match_out = re.match(rb"throttled=0x([0-9a-f]{1,8})\s*$", done.stdout)
        return int(match_out[1], 16) if match_out else None


def _network(before: _Counters, after: _Counters, elapsed_s: float) -> dict[str, float | None]:
    """Bits a second over all interfaces but loopback; one that came since has no rate yet."""
    both = before.network.keys() & after.network.keys()
    rates: dict[str, float | None] = {}
    for position, key in enumerate(("rx_bps", "tx_bps")):
        grown = sum(max(0, after.network[name][position] - before.network[name][position]) for name in both)
        rates[key] = round(grown * 8 / elapsed_s) if both and elapsed_s > 0 else None
    return rates


def _percent(part_s: float, whole_s: float) -> float | None:
    """For the machine: of all its cores; for the agent: of one core."""
    return round(max(0.0, 100 * part_s / whole_s), 1) if whole_s > 0 else None


def _read(path: Path) -> str | None:
    """A kernel file's text; sensors that are there may still fail to answer."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else None
