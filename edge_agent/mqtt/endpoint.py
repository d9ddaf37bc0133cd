"""Where the broker is, how to greet it, and the socket to it. Blocking: called in the connecting thread only."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from edge_agent.mqtt.messages import Message
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble, connect_trouble, silence, tls_trouble

CONNECT_TIMEOUT_S = 10.0
"""From the first look at the host name to CONNACK. A broker that accepts and never answers is given up then."""
_REACH_SHARE = 0.8
"""Part of the time that reaching the host may take, so that a silent host and a silent broker can be told apart."""


class ProtocolVersion(StrEnum):
    """MQTT versions, as the configuration spells them."""

    V5 = "5"
    V311 = "3.1.1"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files. `ca_file` None means the system's authorities; `cert_file` and `key_file` go together."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The broker and how to greet it. `will` is published by the broker when the agent dies."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None
    protocol: ProtocolVersion = ProtocolVersion.V5
    keepalive_s: int = 20
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    will: Message | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def version_5(self) -> bool:
        return self.protocol is ProtocolVersion.V5


def open_socket(endpoint: Endpoint) -> socket.socket:
    """A connected socket that sends small packets at once, encrypted if asked. Raises `BrokerUnavailable`.

    Without TCP_NODELAY a command's answer waits 40 ms for the broker's delayed acknowledgement.
    """
    host, port = endpoint.host, endpoint.port
    context = None if endpoint.tls is None else _tls_context(endpoint.tls)
    try:
        sock = socket.create_connection((host, port), endpoint.connect_timeout_s * _REACH_SHARE)
    except (OSError, ValueError) as error:
        raise connect_trouble(error, str(endpoint)) from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return sock
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except TimeoutError as error:
        raise silence(str(endpoint), reached=True) from error
    except ssl.SSLError as error:
        raise connect_trouble(error, str(endpoint)) from error
    except (OSError, ValueError) as error:
        raise tls_trouble(str(error), str(endpoint)) from error
    finally:
        sock.close()  # wrap_socket has taken it over, or nobody wants it any more


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Python 3.13 began to refuse authorities without key usage, which is how most home-made ones are. Chain, dates
        # and host name are checked with and without.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as error:
        names = ", ".join(str(path) for path in (tls.ca_file, tls.cert_file, tls.key_file) if path is not None)
        raise BrokerUnavailable(Trouble.TLS_FILES, f"cannot use {names}: {error}") from error
    return context
