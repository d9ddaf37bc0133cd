"""`edge-agent schema`: the contract for machines."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from edge_agent import __version__
from edge_agent.cli.configuration import FAULT, OK, UsageError
from edge_agent.wire.asyncapi import asyncapi
from edge_agent.wire.schema import schemas

ASYNCAPI = "asyncapi"


def main(options: Namespace) -> int:
    """Print one document, all of them in one object, or write a file for each."""
    documents: dict[str, dict[str, Any]] = {ASYNCAPI: asyncapi(__version__), **schemas()}
    if options.name is not None:
        if options.name not in documents:
            raise UsageError(f"NAME: there is no {options.name}, only {', '.join(documents)}")
        documents = {options.name: documents[options.name]}
    if options.output is None:
        print(_text(documents[options.name] if options.name else documents), end="")
        return OK
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            kind = "json" if name == ASYNCAPI else "schema.json"
            (options.output / f"{name}.{kind}").write_text(_text(document), encoding="utf-8")
    except OSError as error:
        print(f"edge-agent schema: {error}", file=sys.stderr)
        return FAULT
    return OK


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
