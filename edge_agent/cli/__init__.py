"""The command line: what can be said (`arguments`), and one module for each group of commands.

A command's module is imported when it is asked for, so that the agent does not carry what only the tools need. Each has
one function `main`, which takes the parsed arguments and returns the exit code. What the commands do is in the rooms.

Exit codes: 0, 1 a fault while running, 2 bad configuration or usage.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from edge_agent.cli.configuration import FAULT, USAGE, UsageError
from edge_agent.config import ConfigError

AGENT = SimpleNamespace(module="agent", command="run", config=None)
"""What the parser makes of `run` alone, which services say: the agent would keep the parser in memory, 0.3 MB."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = AGENT if given == ["run"] else _parsed(given)
    try:
        command: Callable[[Any], int] = importlib.import_module(f"{__name__}.{options.module}").main
        return command(options)
    except ConfigError as error:
        print(f"edge-agent: the configuration cannot be used:\n{error}", file=sys.stderr)
        return USAGE
    except UsageError as error:
        print(f"edge-agent {options.command}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return FAULT
    except BrokenPipeError:
        # Whoever read our output has left, as `head` does. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAULT


def _parsed(arguments: Sequence[str]) -> Any:
    from edge_agent.cli.arguments import parser  # noqa: PLC0415 - see `AGENT`

    return parser().parse_args(arguments)
