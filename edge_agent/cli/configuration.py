"""What every command needs: the exit codes, the configuration, and the error for arguments that do not fit."""

from __future__ import annotations

import os
from typing import Any

from edge_agent.config import Config, ConfigError, Finding, load
from edge_agent.rpicam.argv import ExtraArgRefused, check_extra_args

OK, FAULT, USAGE = 0, 1, 2


class UsageError(Exception):
    """An argument cannot be used; the message names it and says what would be right."""


def configuration(options: Any) -> Config:
    """The configuration that `--config` or the search finds. Raises `ConfigError`."""
    config = load(options.config, os.environ)
    try:
        check_extra_args(config.rpicam.extra_args)
    except ExtraArgRefused as error:
        where = str(config.source or "EDGE_AGENT__RPICAM__EXTRA_ARGS")
        raise ConfigError([Finding(where, "rpicam.extra_args", f"--{error.option}", error.reason)]) from error
    return config
