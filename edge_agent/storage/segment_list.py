"""The segment list that the recorder appends to: one line per closed segment, `000001.mp4,59.999,119.998`.

The numbers are the stream's seconds at the segment's start and end. Other names are ignored, and so is a last line
without its line feed. Read on from where the last look ended: a run of a week has ten thousand lines.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from edge_agent.storage.tree import opened

SEGMENT_FILE = re.compile(r"(\d{6,9})\.mp4", re.ASCII)
_MAX_READ_BYTES = 1 << 20


class SegmentList:
    """A growing list and what it said so far: `spans` maps a segment's index to its start and end in seconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spans: dict[int, tuple[float, float]] = {}
        self._offset = 0

    def read_on(self) -> None:
        """Take in the lines that came since. A missing list is an empty one. Raises `OSError`."""
        try:
            with opened(self.path) as descriptor:
                chunk = os.pread(descriptor, _MAX_READ_BYTES, self._offset)
        except FileNotFoundError:
            return
        whole = chunk.rfind(b"\n") + 1
        self._offset += whole
        for line in chunk[:whole].splitlines():
            self._take(line.decode("ascii", "replace"))

    def _take(self, line: str) -> None:
        name, _, times = line.strip().rpartition("/")[2].partition(",")
        match = SEGMENT_FILE.fullmatch(name)
        start, _, end = times.partition(",")
        if match is None:
            return
        try:
            span = float(start), float(end)
        except ValueError:
            return
        if all(math.isfinite(second) for second in span):
            self.spans[int(match[1])] = span
