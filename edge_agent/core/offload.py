"""When footage may be sent elsewhere, how fast, and how soon again after a failure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_DELAY_S = 300.0
_DAY_MIN = 24 * 60
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of every day, in minutes since midnight UTC: from `begin_min` up to, but without, `end_min`.

    One that ends before it begins goes over midnight.
    """

    begin_min: int
    end_min: int

    def include(self, at: datetime) -> bool:
        """Whether this instant lies within."""
        utc = at.astimezone(UTC)
        since_begin = (utc.hour * 60 + utc.minute - self.begin_min) % _DAY_MIN
        return since_begin < (self.end_min - self.begin_min) % _DAY_MIN


def parse_hours(text: str) -> Hours:
    """Read hours such as `22:00-06:00`. Raises ValueError, which says what would be right."""
    match = _HOURS.fullmatch(text)
    if match is None or text[:5] == text[6:]:
        raise ValueError('must be two different times of the day in UTC, such as "22:00-06:00"; unset: at any time')
    begin_h, begin_min, end_h, end_min = map(int, match.groups())
    return Hours(begin_h * 60 + begin_min, end_h * 60 + end_min)


def retry_delay_s(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row: 1, 2, 4 ... 300 s, a fifth more or less by `jitter`, 0 to 1."""
    return float(min(LONGEST_DELAY_S, 2.0 ** min(failures - 1, 10)) * (1.0 + 0.4 * (jitter - 0.5)))


class Allowance:
    """A rate that is not exceeded: at no time was more sent than the rate allows since the first byte, but one piece.

    What was not used is not saved up, so that no burst follows a pause.
    """

    def __init__(self, bytes_ps: float) -> None:
        self._bytes_ps = bytes_ps
        self._free_mono_s = float("-inf")

    def wait_s(self, size_bytes: int, mono_s: float) -> float:
        """How long a piece that is ready at `mono_s` has to wait until it may be sent; it is counted as sent then."""
        begin_mono_s = max(self._free_mono_s, mono_s)
        self._free_mono_s = begin_mono_s + size_bytes / self._bytes_ps
        return begin_mono_s - mono_s
