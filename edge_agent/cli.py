"""The command line: arguments, logging, exit codes. What the commands do is in the rooms.

Exit codes: 0, 1 a fault while running, 2 bad configuration or usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_agent import __version__
from edge_agent.app.house import Leaving, live
from edge_agent.config import Config, ConfigError, Finding, load
from edge_agent.rpicam.argv import ExtraArgRefused, check_extra_args
from edge_agent.web.tokens import TokensUnusable

OK, FAULT, USAGE = 0, 1, 2

log = logging.getLogger("edge_agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        config = _configuration(options.config)
    except ConfigError as error:
        print(f"edge-agent: the configuration cannot be used:\n{error}", file=sys.stderr)
        return USAGE
    match options.command:
        case "run":
            return _run(config)
        case _:
            parser.print_usage(sys.stderr)
            return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-agent", description="Blackbox recorder for cameras on a Raspberry Pi")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--config", type=Path, help="the configuration file (default: searched, then none)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the agent")
    return parser


def _configuration(path: Path | None) -> Config:
    config = load(path, os.environ)
    try:
        check_extra_args(config.rpicam.extra_args)
    except ExtraArgRefused as error:
        where = str(config.source or "EDGE_AGENT__RPICAM__EXTRA_ARGS")
        raise ConfigError([Finding(where, "rpicam.extra_args", f"--{error.option}", error.reason)]) from error
    return config


def _run(config: Config) -> int:
    _log_to_stderr()
    log.info("edge_agent %s device=%s configuration=%s", __version__, config.device.id, config.source or "none")
    try:
        leaving = asyncio.run(live(config, os.environ, _tell_person))
    except TokensUnusable as unusable:
        print(f"edge-agent: {unusable}", file=sys.stderr)
        return USAGE
    if leaving is Leaving.RESTART:
        # The same pid: whoever supervises the agent notices nothing, and the recorders are adopted.
        os.execv(sys.executable, [sys.executable, "-m", "edge_agent", *sys.argv[1:]])  # noqa: S606
    return OK


def _tell_person(text: str) -> None:
    print(text, flush=True)


def _log_to_stderr() -> None:
    """Lines for journald, which stamps them; with a time of their own where a person looks on."""
    stamp = "%(asctime)s " if sys.stderr.isatty() else ""
    logging.basicConfig(level=logging.INFO, format=f"{stamp}%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
