"""The door to the broker: which one it is, and how commands come in through it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.commands import Origin
from edge_agent.driver import Driver
from edge_agent.mqtt.broker import HOST, BrokerFailed, BrokerMissing, EmbeddedBroker, find_mosquitto, free_port
from edge_agent.mqtt.endpoint import Endpoint, ProtocolVersion, Tls
from edge_agent.mqtt.gateway import Callbacks, Gateway, GatewaySettings
from edge_agent.mqtt.intake import RawCommand
from edge_agent.wire import decode_command

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is; `embedded` where it is the agent's own child. `missing` says why there is none at all."""

    host: str
    port: int
    embedded: EmbeddedBroker | None = None
    missing: str | None = None


async def broker_of(config: Config, tell: Callable[[str, str | None], None]) -> Broker:
    """The configured broker, else one of our own on loopback."""
    if config.mqtt.host is not None:
        return Broker(config.mqtt.host, config.mqtt.port)
    program = find_mosquitto()
    if isinstance(program, BrokerMissing):
        log.warning("no broker: %s. Everything else works", program.message)
        return Broker(HOST, config.mqtt.port, missing=program.message)
    port = free_port(config.mqtt.port)
    embedded = EmbeddedBroker(program, config.device.state_dir / "broker", port, tell)
    try:
        await embedded.start()
    except BrokerFailed as error:
        log.warning("no broker: %s. Everything else works", error)
        return Broker(HOST, port, missing=str(error))
    return Broker(HOST, port, embedded=embedded)


def endpoint_of(config: Config, host: str, port: int, client_id: str) -> Endpoint:
    """How the configuration says to greet a broker."""
    mqtt = config.mqtt
    return Endpoint(
        host=host,
        port=port,
        client_id=client_id,
        username=mqtt.username,
        password=mqtt.password.get_secret_value() if mqtt.password else None,
        tls=Tls(mqtt.ca_file, mqtt.cert_file, mqtt.key_file) if mqtt.tls else None,
        protocol=ProtocolVersion(mqtt.protocol),
        keepalive_s=mqtt.keepalive_s,
    )


def gateway_of(config: Config, broker: Broker, boot_id: str, callbacks: Callbacks, *, births: bool) -> Gateway:
    """The gateway to `broker`. `births`: it hears when Home Assistant comes up."""
    settings = GatewaySettings(
        endpoint=endpoint_of(config, broker.host, broker.port, f"edge-agent-{config.device.id}"),
        base_topic=config.mqtt.base_topic,
        device=config.device.id,
        boot_id=boot_id,
        groups=config.device.groups,
        birth_topic=config.homeassistant.birth_topic if births else None,
        telemetry_interval_s=config.telemetry.interval_s,
    )
    return Gateway(settings, callbacks)


def new_command_id() -> str:
    """An id for a command whose sender gave none."""
    return secrets.token_hex(8)


def mqtt_door(driver: Driver) -> Callable[[RawCommand], str]:
    """What takes a command from the gateway to the driver."""

    def submit(raw: RawCommand) -> str:
        command = decode_command(
            raw.verb,
            raw.payload,
            received=raw.received,
            origin=Origin.MQTT,
            new_id=new_command_id,
            retained=raw.retained,
            expires_at=raw.expires_at,
            reply_to=raw.reply_to,
            correlation=raw.correlation,
        )
        if raw.refusal is not None:
            command = replace(command, body=None, refusal=raw.refusal)
        driver.submit(command)
        return command.id

    return submit


def problem_teller(driver: Driver) -> Callable[[str, str | None], None]:
    """What takes a room's problem to the status."""

    def tell(code: str, message: str | None) -> None:
        driver.post(ev.ProblemChanged(str(code), message))

    return tell


def announcer(announce: Callable[[], None], tasks: asyncio.TaskGroup) -> Callable[[], None]:
    """What announces everything again when Home Assistant came up: after a random delay, once for several births."""
    waiting: list[asyncio.Task[None]] = []

    async def later() -> None:
        await asyncio.sleep(secrets.SystemRandom().uniform(0.5, 5.0))
        waiting.clear()
        log.info("Home Assistant came up: announcing again")
        announce()

    def on_birth() -> None:
        if not waiting:
            waiting.append(tasks.create_task(later(), name="announce after birth"))

    return on_birth
