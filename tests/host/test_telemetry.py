from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from edge_agent.core.model import Now
from edge_agent.host.clock import Clock
from edge_agent.host.telemetry import HostTelemetry, _Counters, _network, _percent
from edge_agent.wire import telemetry_document

PI_OS_WORD = "devices/platform/soc/soc:firmware/get_throttled"
PI_5_WORD = "devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"


class SetClock(Clock):
    """The real clock, ahead by what the test says."""

    ahead_s = 0.0

    def now(self) -> Now:
        now = super().now()
        return Now(now.mono_s + self.ahead_s, now.wall)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def program(path: Path, body: str) -> str:
    write(path, f"#!/bin/sh\n{body}\n").chmod(0o755)
    return str(path)


def sample(tmp_path: Path, **paths: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"sys": tmp_path / "sys", "vcgencmd": "no-such-program"} | paths
    return HostTelemetry(Clock(), **given).sample()


def test_every_figure_has_its_key_in_the_telemetry_document() -> None:
    clock = SetClock()
    host = HostTelemetry(clock)
    clock.ahead_s = 1
    document = telemetry_document("van7", clock.now().wall, host.sample())
    assert document["load_1m"] >= 0
    assert 0 < document["memory_percent"] <= 100
    assert document["memory_available_bytes"] > 1_000_000
    assert document["uptime_s"] > 0
    assert document["agent"]["rss_bytes"] > 1_000_000
    assert document["agent"]["uptime_s"] >= 1


def test_a_machine_without_sensors_has_none_and_not_zero(tmp_path: Path) -> None:
    figures = sample(tmp_path, proc=tmp_path / "proc")
    assert {key: figures[key] for key in ("temperature_c", "under_voltage", "throttled", "uptime_s")} == {
        "temperature_c": None,
        "under_voltage": None,
        "throttled": None,
        "uptime_s": None,
    }


def test_a_process_without_a_free_descriptor_measures_nothing_and_goes_on() -> None:
    host = HostTelemetry(Clock())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        figures = host.sample()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert figures.keys() == host.sample().keys()
    assert {figures[key] for key in figures.keys() - {"network", "agent"}} == {None}


def test_the_agents_processor_time_is_measured_between_samples() -> None:
    clock = SetClock()
    host = HostTelemetry(clock)
    host.sample()
    burnt_before = os.times()
    while (now := os.times()).user + now.system - burnt_before.user - burnt_before.system < 0.2:
        sum(range(10_000))
    clock.ahead_s = 1
    figures = host.sample()
    assert 1 < figures["agent"]["cpu_percent"] <= 40  # at least 0.2 s of at least 1 s
    assert 0 < figures["cpu_percent"] <= 100


def test_no_time_between_two_samples_gives_no_rate() -> None:
    assert _percent(0.0, 0.0) is None
    still = _Counters(mono_s=5.0, cpu_busy_s=1, cpu_total_s=2, agent_cpu_s=0, network={"eth0": (1, 1)})
    assert _network(still, still, 0.0) == {"rx_bps": None, "tx_bps": None}


def counters(network: dict[str, tuple[int, int]]) -> _Counters:
    return _Counters(mono_s=0.0, cpu_busy_s=0, cpu_total_s=0, agent_cpu_s=0, network=network)


@pytest.mark.parametrize(
    ("before", "after", "rates"),
    [
        ({"eth0": (0, 0), "wlan0": (500, 0)}, {"eth0": (1000, 250), "wlan0": (1500, 0)}, (8000, 1000)),
        ({"eth0": (0, 0)}, {"eth0": (1000, 250), "wlan0": (10**9, 10**9)}, (4000, 1000)),
        ({"eth0": (5000, 5000)}, {"eth0": (1000, 6000)}, (0, 4000)),
        ({}, {"wlan0": (10**9, 10**9)}, (None, None)),
    ],
    ids=["summed", "one came since", "one was reset", "none known"],
)
def test_network_rates_are_bits_a_second_over_the_interfaces_known_before(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], rates: tuple[int | None, int | None]
) -> None:
    assert _network(counters(before), counters(after), 2.0) == {"rx_bps": rates[0], "tx_bps": rates[1]}


def test_loopback_is_no_network() -> None:
    assert "lo" not in HostTelemetry(Clock())._before.network


def test_the_temperature_is_the_processors_zone(tmp_path: Path) -> None:
    thermal = tmp_path / "sys" / "class" / "thermal"
    write(thermal / "thermal_zone0" / "type", "battery\n")
    write(thermal / "thermal_zone0" / "temp", "25000\n")
    assert sample(tmp_path)["temperature_c"] == 25.0
    write(thermal / "thermal_zone1" / "type", "cpu-thermal\n")
    write(thermal / "thermal_zone1" / "temp", "61840\n")
    assert sample(tmp_path)["temperature_c"] == 61.8


def test_a_zone_that_fails_to_answer_is_passed_over(tmp_path: Path) -> None:
    thermal = tmp_path / "sys" / "class" / "thermal"
    write(thermal / "thermal_zone0" / "type", "cpu-thermal\n")
    (thermal / "thermal_zone0" / "temp").mkdir()
    assert sample(tmp_path)["temperature_c"] is None
    write(thermal / "thermal_zone1" / "temp", "-5000\n")
    assert sample(tmp_path)["temperature_c"] == -5.0


@pytest.mark.parametrize("place", [PI_OS_WORD, PI_5_WORD])
@pytest.mark.parametrize(
    ("word", "under_voltage", "throttled"),
    [("0", False, False), ("1", True, False), ("50000", False, False), ("50005", True, True), ("8", False, True)],
)
def test_the_firmwares_word_tells_power_and_throttling_of_now(
    place: str, word: str, under_voltage: bool, throttled: bool, tmp_path: Path
) -> None:
    write(tmp_path / "sys" / place, f"{word}\n")
    figures = sample(tmp_path)
    assert (figures["under_voltage"], figures["throttled"]) == (under_voltage, throttled)


def test_a_dip_between_two_samples_is_told_once(tmp_path: Path) -> None:
    word = write(tmp_path / "sys" / PI_OS_WORD, "40000\n")
    host = HostTelemetry(Clock(), sys=tmp_path / "sys")
    seen = []
    for text in ("40000", "50000", "50000"):
        word.write_text(f"{text}\n")
        figures = host.sample()
        seen.append((figures["under_voltage"], figures["throttled"]))
    assert seen == [(False, False), (True, False), (False, False)]


def test_vcgencmd_is_asked_where_the_kernel_has_no_file(tmp_path: Path) -> None:
    vcgencmd = program(tmp_path / "vcgencmd", '[ "$1" = get_throttled ] && echo throttled=0x50005')
    figures = sample(tmp_path, vcgencmd=vcgencmd)
    assert (figures["under_voltage"], figures["throttled"]) == (True, True)


@pytest.mark.parametrize("body", ["echo VCHI initialization failed; exit 1", "echo error=1", "exit 127"])
def test_a_vcgencmd_that_can_not_ask_the_firmware_tells_nothing(body: str, tmp_path: Path) -> None:
    figures = sample(tmp_path, vcgencmd=program(tmp_path / "vcgencmd", body))
    assert (figures["under_voltage"], figures["throttled"]) == (None, None)


def test_a_vcgencmd_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.host.telemetry.VCGENCMD_TIMEOUT_S", 0.05)
    figures = sample(tmp_path, vcgencmd=program(tmp_path / "vcgencmd", "exec sleep 30"))
    assert figures["under_voltage"] is None
