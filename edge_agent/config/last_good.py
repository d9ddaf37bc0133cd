"""The configuration file of the last good start, for a service whose file can't be used any more.

A typing error or a damaged card must not keep a device from recording that nobody stands beside. A person at a terminal
is told instead: only where a service manager starts the agent and gives it a state directory is a copy kept and used.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edge_agent.config import parse
from edge_agent.config.settings import Config
from edge_agent.config.sources import ConfigError, Finding, find_file, read_toml
from edge_agent.durable import write_durably

NAME = "edge-agent.last-good.toml"
OWNER_ONLY = 0o600
"""Its secrets are for the agent's user alone."""

log = logging.getLogger(__name__)


def keep(config: Config, environ: Mapping[str, str]) -> None:
    """Keep a copy of the file that `config` was read from. Blocking; never raises."""
    place = _place(environ)
    if place is None or config.source is None:
        return
    try:
        content = config.source.read_bytes()
        with suppress(FileNotFoundError):
            if place.read_bytes() == content:
                return
        write_durably(place, content, mode=OWNER_ONLY)
    except OSError as error:
        log.warning("no copy of the configuration is kept: path=%s error=%s", place, error.strerror)


def emptied(config: Config, environ: Mapping[str, str]) -> ConfigError | None:
    """What is wrong with a file that holds nothing any more, as a power cut leaves one. Blocking; never raises."""
    place = _place(environ)
    if place is None or config.source is None:
        return None
    try:
        if config.source.read_bytes().strip() or not place.read_bytes().strip():
            return None
    except OSError:
        return None
    return ConfigError([Finding(str(config.source), "", None, "is empty, and was not at the last good start")])


def last_good(path: Path | None, environ: Mapping[str, str], error: ConfigError) -> Config | None:
    """The configuration of the last good start in place of the one that `error` is about; None when there is none.

    Its `trouble` says so. `path` is what `--config` names.
    """
    place = _place(environ)
    if place is None:
        return None
    told = " ".join("; ".join(map(str, error.findings)).split())
    trouble = f"the configuration can't be used, so that of the last good start is: {told}. Mend it and restart"
    try:
        return parse(read_toml(place), environ, find_file(path, environ), trouble)
    except ConfigError:
        return None


def _place(environ: Mapping[str, str]) -> Path | None:
    directories = environ.get("STATE_DIRECTORY")
    return Path(directories.split(":")[0]) / NAME if directories and environ.get("NOTIFY_SOCKET") else None
