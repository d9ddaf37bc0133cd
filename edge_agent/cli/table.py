"""Tables and figures for people: columns as wide as they need, sizes and ages in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_FIGURE = re.compile(r"[0-9][0-9.:]*( \S{1,3})?")
"""A number with its unit, or a length of time."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; columns of figures only are set to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    right = [len(column) > 1 and all(not cell or _FIGURE.fullmatch(cell) for cell in column[1:]) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (header, *rows)
    ]


def size(size_bytes: float | None) -> str:
    """Bytes with three digits: `812 MB`, `1.5 GB`; empty for None."""
    if size_bytes is None:
        return ""
    value, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while abs(value) >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}" if value < 99.95 and units[0] != "B" else f"{value:.0f} {units[0]}"


def age(seconds: float | None) -> str:
    """How long ago in one unit: `12 s`, `5 min`, `3 h`, `9 d`; empty for None."""
    if seconds is None:
        return ""
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{max(0.0, seconds) / unit_s:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def length(seconds: float) -> str:
    """A duration: `0:07`, `12:30`, `1:02:03`."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
