"""The window and the filters that commands about recordings take."""

from __future__ import annotations

import re
from argparse import Namespace
from datetime import datetime

from edge_agent.cli.configuration import UsageError
from edge_agent.storage.index import Filter
from edge_agent.wire.values import BadValue, parse_instant

_NUMBER = re.compile(r"[0-9]{1,14}(\.[0-9]{1,6})?", re.ASCII)


def window(options: Namespace) -> tuple[datetime | None, datetime | None]:
    """`--from` and `--to`. Raises `UsageError`."""
    start, end = _instant("--from", options.start), _instant("--to", options.end)
    if start is not None and end is not None and end <= start:
        raise UsageError("--to is not later than --from")
    return start, end


def wanted(options: Namespace) -> Filter:
    """What the filters leave. Raises `UsageError`."""
    start, end = window(options)
    return Filter(options.camera, options.mode, start, end, options.locked, options.label)


def _instant(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_instant(float(text) if _NUMBER.fullmatch(text) else text)
    except BadValue as error:
        raise UsageError(f"{name}: {error}") from None
