"""`edge-agent send`: an order to one, a group or all, and a line for every answer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pwd
import secrets
import sys
from argparse import Namespace

from edge_agent.app.commanding import Outcome, Target, give
from edge_agent.cli.brokerless import say_no_broker
from edge_agent.cli.configuration import FAULT, OK, UsageError, configuration
from edge_agent.config import Config
from edge_agent.fleet.answers import Answer
from edge_agent.fleet.order import OrderRefused, compose
from edge_agent.host.clock import Clock
from edge_agent.mqtt.trouble import BrokerUnavailable


def main(options: Namespace) -> int:
    """Send the order and wait for the answers."""
    config = configuration(options)
    target = Target(options.device or config.device.id, options.group)
    return send(config, target, options.verb, options.payload, options.timeout, as_json=options.json)


def send(
    config: Config, target: Target, verb: str, payload: str, timeout_s: float, *, as_json: bool, command: str = "send"
) -> int:
    """Carry one order out and print what came of it. Raises `UsageError` for one that nobody would obey.

    `command` is what was typed to get here, and stands before what went wrong.
    """
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    try:
        order = compose(verb, payload, order_id=secrets.token_hex(8), by=_who(), now=Clock().now())
    except OrderRefused as refused:
        raise UsageError(str(refused)) from None
    tell = _print_document if as_json else _print_answer
    try:
        outcome = asyncio.run(give(config, order, target, timeout_s, tell))
    except BrokerUnavailable as error:
        return say_no_broker(command, config, error)
    _print_outcome(outcome, target, timeout_s)
    return OK if outcome.succeeded else FAULT


def _print_answer(answer: Answer) -> None:
    took = "" if answer.took_ms is None else f" ({answer.took_ms} ms)"
    again = " again, for an id that was used before" if answer.duplicate else ""
    print(f"{answer.device:<16} {answer.status:<9} {answer.code}: {answer.message}{took}{again}", flush=True)
    for warning in answer.warnings:
        print(f"{'':<16} warning: {warning}", flush=True)


def _print_document(answer: Answer) -> None:
    print(json.dumps(answer.document, ensure_ascii=False), flush=True)


def _print_outcome(outcome: Outcome, target: Target, timeout_s: float) -> None:
    """What no answer tells, on stderr, so that JSON stays JSON."""
    for device in outcome.offline:
        print(f"{device:<16} offline: the broker says that it is not there, it got nothing", file=sys.stderr)
    for device in outcome.silent:
        print(f"{device:<16} did not answer within {timeout_s:g} s", file=sys.stderr)
    if target.group is None:
        return
    if not outcome.finals and not outcome.silent and not outcome.offline:
        whom = "device" if target.group == "all" else f"member of {target.group}"
        print(f"no {whom} is known to the broker, and nobody answered within {timeout_s:g} s", file=sys.stderr)
        return
    good = sum(answer.succeeded for answer in outcome.finals)
    bad = len(outcome.finals) - good
    told = [
        f"{good} succeeded",
        f"{bad} did not",
        f"{len(outcome.silent)} did not answer",
        f"{len(outcome.offline)} offline",
    ]
    print(", ".join(told), file=sys.stderr)


def _who() -> str:
    """What devices note as the sender: the user at this machine."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"[:64]
