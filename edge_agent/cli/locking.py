"""`edge-agent recordings lock|unlock`: the command of that name, given to this machine's running agent."""

from __future__ import annotations

import json
from argparse import Namespace

from edge_agent.app.commanding import Target
from edge_agent.cli.configuration import UsageError, configuration
from edge_agent.cli.send import send
from edge_agent.cli.window import window
from edge_agent.wire.values import format_instant_ms

PATIENCE_S = 35.0


def main(options: Namespace) -> int:
    """Build the command's JSON and send it."""
    config = configuration(options)
    start, end = window(options)
    keys = {
        "from": None if start is None else format_instant_ms(start),
        "to": None if end is None else format_instant_ms(end),
        "label": options.label,
        "before": getattr(options, "before", None),
        "after": getattr(options, "after", None),
    }
    given = {key: value for key, value in keys.items() if value is not None}
    if options.verb == "unlock" and not given:
        raise UsageError("give --label, --from or --to: this would unlock everything")
    target, order = Target(config.device.id), json.dumps(given)
    return send(config, target, options.verb, order, PATIENCE_S, as_json=False, command=options.command)
