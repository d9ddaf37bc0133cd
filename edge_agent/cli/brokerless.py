"""What a command says that finds no broker."""

from __future__ import annotations

import sys

from edge_agent.cli.configuration import FAULT
from edge_agent.config import Config
from edge_agent.mqtt.trouble import BrokerUnavailable


def say_no_broker(command: str, config: Config, error: BrokerUnavailable) -> int:
    """Tell what is wrong, and whose the broker is where none is configured; the exit code."""
    own = "" if config.mqtt.host else "; mqtt.host is not set, so it is the agent's own: is the agent running?"
    print(f"edge-agent {command}: {error.trouble}: {error}{own}", file=sys.stderr)
    return FAULT
