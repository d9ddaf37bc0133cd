"""`edge-agent run`: the agent itself, its log, and its restart."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

from edge_agent import __version__
from edge_agent.app.house import Leaving, live
from edge_agent.cli.configuration import FAULT, OK, USAGE, configuration
from edge_agent.config import Config, ConfigError
from edge_agent.config.last_good import emptied, keep, last_good
from edge_agent.loop import Loop
from edge_agent.storage.claim import InUse
from edge_agent.web.tokens import TokensUnusable

log = logging.getLogger("edge_agent")


def main(options: Any) -> int:
    """Run until asked to leave."""
    log_to_stderr(logging.INFO)
    config = _configuration(options)
    log.info("edge_agent %s device=%s configuration=%s", __version__, config.device.id, config.source or "none")
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            leaving = runner.run(live(config, os.environ, _tell_person))
    except TokensUnusable as unusable:
        print(f"edge-agent: {unusable}", file=sys.stderr)
        return USAGE
    except InUse as taken:
        print(f"edge-agent: {taken}", file=sys.stderr)
        return FAULT
    if leaving is Leaving.RESTART:
        # The same pid: whoever supervises the agent notices nothing, and the recorders are adopted.
        os.execv(sys.executable, [sys.executable, "-m", "edge_agent", *sys.argv[1:]])  # noqa: S606
    return OK


def _configuration(options: Any) -> Config:
    """What the file says now, or for a service what it said at the last good start. Raises `ConfigError`."""
    try:
        config = configuration(options)
        if (empty := emptied(config, os.environ)) is not None:
            raise empty
    except ConfigError as error:
        before = last_good(options.config, os.environ, error)
        if before is None:
            raise
        log.error("%s", before.trouble)  # noqa: TRY400 - it says all
        return before
    keep(config, os.environ)
    return config


def _tell_person(text: str) -> None:
    print(text, flush=True)


def log_to_stderr(level: int) -> None:
    """Lines for journald, which stamps them; with a time of their own where a person looks on."""
    stamp = "%(asctime)s " if sys.stderr.isatty() else ""
    logging.basicConfig(level=level, format=f"{stamp}%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
