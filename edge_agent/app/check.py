"""What `edge-agent check` looks at: each thing that the agent needs, what is wrong with it, and what to do.

Nothing is changed: no folder, marker or token is made, a running agent and its recorders do not notice. One result goes
to the broker, of a command that nobody gave.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge_agent.app.line import own_broker_port, tool_endpoint
from edge_agent.app.offloading import prefix_of, try_store
from edge_agent.app.shelf import policy_of, room_of, write_rate_bps
from edge_agent.config import Config
from edge_agent.config.values import is_loopback
from edge_agent.core.commands import Result, Verb
from edge_agent.core.model import Camera, Code, ResultStatus
from edge_agent.core.retention import VolumeState
from edge_agent.host.clock import Clock
from edge_agent.mqtt.broker import BrokerMissing, find_mosquitto
from edge_agent.mqtt.trial import is_online, try_broker
from edge_agent.rpicam.argv import environment
from edge_agent.rpicam.probe import SIMULATED, Abilities, ProbeFailed, bind, list_cameras, probe
from edge_agent.storage.claim import claimed
from edge_agent.storage.volume import STATE_NAME, Volume
from edge_agent.web.tokens import TokensUnusable, read_tokens
from edge_agent.wire import encode, result_document

HEALTH_S = 2.0
"""Patience with whoever listens on the page's port."""


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Item:
    """One line. `warn` is for what the agent runs without, `fail` for what has to be mended."""

    level: Level
    name: str
    told: str


async def examine(config: Config, environ: Mapping[str, str]) -> AsyncIterator[Item]:
    """Look at everything, in the order in which a person would mend it."""
    yield _configuration(config)
    program = await _camera_program(config, environ)
    async for item in _cameras(config, environ, program):
        yield item
    yield await asyncio.to_thread(_media)
    yield await asyncio.to_thread(_disk, config)
    yield await asyncio.to_thread(_state, config)
    yield await _broker(config)
    yield _clock()
    for item in await asyncio.to_thread(_web, config):
        yield item
    if config.offload.enabled:
        yield await _offload(config)


# -- configuration and cameras ----------------------------------------------------------------------------------------


def _configuration(config: Config) -> Item:
    source = ", ".join([str(config.source or "no file"), *config.variables])
    groups = f", groups {', '.join(config.device.groups)}" if config.device.groups else ""
    return Item(Level.OK, "configuration", f"{source}: device {config.device.id}{groups}")


async def _camera_program(config: Config, environ: Mapping[str, str]) -> Abilities | ProbeFailed:
    return await probe(config.rpicam.command, environ=environment(environ))


async def _cameras(config: Config, environ: Mapping[str, str], program: Abilities | ProbeFailed) -> AsyncIterator[Item]:
    name = "camera program"
    if isinstance(program, ProbeFailed):
        if config.may_simulate:
            told = f"{program.message}. Until then SIMULATED cameras stand in: test pictures, no footage"
            yield Item(Level.WARN, name, told)
        else:
            yield Item(Level.FAIL, name, program.message)
        return
    if program.simulated:
        yield Item(Level.WARN, name, f"rpicam.command = {SIMULATED!r}: test pictures, no footage")
    elif problem := program.recording_problem:
        yield Item(Level.FAIL, name, problem)
    else:
        encoder = ", encodes in hardware" if program.hardware_encoder else ""
        yield Item(Level.OK, name, f"{program.program[0]} {program.version_text}{encoder}")
    listed = await list_cameras(program, environ=environment(environ))
    if isinstance(listed, ProbeFailed):
        yield Item(Level.FAIL, "cameras", listed.message)
        return
    binding = bind(config.camera_list(), listed)
    models = {info.index: info.model for info in listed}
    for camera in config.camera_list():
        yield _camera(camera, binding.indexes.get(camera.id), binding.missing.get(camera.id), models)


def _camera(camera: Camera, index: int | None, missing: str | None, models: Mapping[int, str]) -> Item:
    if missing is not None or index is None:
        return Item(Level.FAIL, camera.id, missing or "is not there")
    return Item(Level.OK, camera.id, f"{models[index]} at index {index}, called {camera.name}")


def _media() -> Item:
    if importlib.util.find_spec("av") is None:
        told = "PyAV is not installed: no thumbnails, no clips, no MJPEG while recording; pip install 'av>=16'"
        return Item(Level.WARN, "media", told)
    return Item(Level.OK, "media", "PyAV is there for thumbnails, clips and the preview of a recording")


# -- disk -------------------------------------------------------------------------------------------------------------


def _disk(config: Config) -> Item:
    """The recording volume. A volume that was never used is not marked here: that is the agent's to do, as its user."""
    root, name = config.recording.root, "disk"
    if _remembered(config):
        health = Volume(root, config.device.state_dir).check()
        if health.trouble is not None or health.room is None:
            return Item(Level.FAIL, name, f"{health.trouble}: {health.message}")
        state = health.room.state
    else:
        try:
            state = room_of(root)
        except OSError as error:
            return Item(Level.FAIL, name, f"{root} cannot be used: {error.strerror}; set recording.root")
    problem = _unwritable(_nearest(root))
    if problem is not None:
        return Item(Level.FAIL, name, f"{problem}; give this user the right to write there, or set recording.root")
    made = "" if root.is_dir() else ", made at the first start"
    return _room(config, state, f"{root}{made}")


def _room(config: Config, state: VolumeState, where: str) -> Item:
    floor_bytes = policy_of(config).floor_bytes(state.total_bytes)
    usable_bytes = state.free_bytes - floor_bytes
    told = f"{where}: {_gigabytes(state.free_bytes)} of {_gigabytes(state.total_bytes)} free"
    if usable_bytes <= 0:
        kept = f"recording.min_free_bytes and min_free_percent keep {_gigabytes(floor_bytes)}"
        return Item(Level.WARN, "disk", f"{told}, and {kept}: the oldest footage goes, or make room")
    rate_bps = write_rate_bps(config)
    hours = f", about {usable_bytes * 8 / rate_bps / 3600:.0f} h in {config.default_mode()}" if rate_bps else ""
    return Item(Level.OK, "disk", f"{told}{hours} before the oldest footage goes")


def _state(config: Config) -> Item:
    place = config.device.state_dir
    problem = _unwritable(_nearest(place))
    if problem is not None:
        told = f"{problem}; give this user the right to write there, or set device.state_dir"
        return Item(Level.FAIL, "state", told)
    return Item(Level.OK, "state", f"{place}{'' if place.is_dir() else ', made at the first start'}")


def _remembered(config: Config) -> bool:
    """Whether the agent knows a volume at this root: only then does looking at it write nothing."""
    try:
        known = json.loads((config.device.state_dir / STATE_NAME).read_bytes())["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(known == str(config.recording.root.absolute()))


def _nearest(path: Path) -> Path:
    """The path itself, or the folder above it in which it would be made."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder; None when a file without a name could be written and synced."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"edge_agent was here\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}"
    return None


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


# -- broker and clock -------------------------------------------------------------------------------------------------


async def _broker(config: Config) -> Item:
    mqtt, device = config.mqtt, config.device
    endpoint, answer = tool_endpoint(config, "check"), _nobodys_answer(device.id)
    if mqtt.host is None:
        program = find_mosquitto()
        if isinstance(program, BrokerMissing):
            return Item(Level.WARN, "broker", f"{program.message}. Without a broker everything else works")
        if own_broker_port(device.state_dir) is None or await try_broker(
            endpoint, mqtt.base_topic, device.id, (), answer
        ):
            return Item(Level.OK, "broker", f"the agent will start {program} on loopback, as mqtt.host is not set")
        return Item(Level.OK, "broker", f"the agent's own {program} answers on {endpoint}")
    problem = await try_broker(endpoint, mqtt.base_topic, device.id, device.groups, answer)
    if problem is not None:
        return Item(Level.FAIL, "broker", problem)
    running = await asyncio.to_thread(claimed, device.state_dir)
    if not running and await is_online(endpoint, mqtt.base_topic, device.id):
        told = f"has {device.id} online already: if that is another agent, give one of them another device.id"
        return Item(Level.WARN, "broker", f"{endpoint} {told}")
    how = ("over TLS" if mqtt.tls else "without TLS") + (f" as {mqtt.username}" if mqtt.username else "")
    if not mqtt.tls and not is_loopback(mqtt.host):
        told = f"{endpoint} takes commands for {device.id} {how}: everybody on the way can read them; set mqtt.tls"
        return Item(Level.WARN, "broker", told)
    return Item(Level.OK, "broker", f"{endpoint} takes commands for {device.id} {how}, MQTT {mqtt.protocol}")


def _nobodys_answer(device: str) -> bytes:
    """A result that nobody waits for, to see whether the broker takes results."""
    told = "`edge-agent check` looks whether answers arrive"
    name = f"check-{secrets.token_hex(4)}"
    result = Result(name, Verb.PING, ResultStatus.SUCCEEDED, Code.OK, told, Clock().now().wall, 0)
    return encode(result_document(device, result))


def _clock() -> Item:
    clock = Clock()
    shown = f"{clock.now().wall:%Y-%m-%d %H:%M:%S} UTC"
    match clock.synchronized():
        case True:
            return Item(Level.OK, "clock", f"{shown}, synchronized")
        case False:
            told = "is not synchronized: names of recordings may be wrong and max_age rests; timedatectl set-ntp true"
            return Item(Level.WARN, "clock", f"{shown} {told}")
        case None:
            return Item(Level.WARN, "clock", f"{shown}; this machine does not tell whether it is synchronized")


async def _offload(config: Config) -> Item:
    problem = await try_store(config)
    if problem is not None:
        return Item(Level.FAIL, "off-load", problem)
    settings = config.offload
    where = f"{settings.endpoint_url or 'Amazon S3'}, bucket {settings.bucket}"
    return Item(Level.OK, "off-load", f"{where} answers; names begin with {prefix_of(config)}")


# -- page -------------------------------------------------------------------------------------------------------------


def _web(config: Config) -> list[Item]:
    web = config.web
    return [item for item in (_credentials(config), _certificate(web.cert_file, web.key_file), _port(config)) if item]


def _credentials(config: Config) -> Item | None:
    web = config.web
    if web.tokens_file is not None:
        if not web.tokens_file.exists():
            return Item(Level.OK, "page access", f"{web.tokens_file} is made at the first start, with one token")
        try:
            read_tokens(web.tokens_file)
        except TokensUnusable as error:
            return Item(Level.FAIL, "page access", str(error))
        return Item(Level.OK, "page access", f"by the tokens in {web.tokens_file}")
    if web.allow_anonymous and not is_loopback(web.host):
        told = f"everybody who reaches {web.host} may view and operate, as web.allow_anonymous says"
        return Item(Level.WARN, "page access", told)
    return Item(Level.OK, "page access", "from this machine only; for others set web.host and web.tokens_file")


def _certificate(cert_file: Path | None, key_file: Path | None) -> Item | None:
    if cert_file is None:
        return None
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert_file, key_file)
    except (OSError, ValueError) as error:
        return Item(Level.FAIL, "page TLS", f"web.cert_file {cert_file} and web.key_file {key_file}: {error}")
    return Item(Level.OK, "page TLS", f"{cert_file}")


def _port(config: Config) -> Item:
    host, port = config.web.host, config.web.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probing:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind(address)
    except OSError as error:
        if _is_an_agent(config):
            return Item(Level.OK, "page", f"an agent serves it on {host}:{port}")
        told = f"{host}:{port} cannot be used ({error.strerror}): choose another web.host or web.port"
        return Item(Level.FAIL, "page", told)
    return Item(Level.OK, "page", f"{host}:{port} is free" if port else f"any free port of {host}")


def _is_an_agent(config: Config) -> bool:
    """Whether the one that has our port is an agent, by its liveness answer."""
    host = "localhost" if config.web.host in ("0.0.0.0", "::") else config.web.host  # noqa: S104 - compared, not bound
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # asks no secrets and believes nothing
    try:
        with socket.create_connection((host, config.web.port), HEALTH_S) as plain:
            plain.settimeout(HEALTH_S)
            with context.wrap_socket(plain) if config.web.tls else plain as talking:
                talking.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: talking.recv(4096), b""))
    except (OSError, ValueError):
        return False
    return b"\r\nServer: edge-agent\r\n" in answer
