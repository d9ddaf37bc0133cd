"""The archive as tools see it, from the disk alone: beside a running agent, and without disturbing it.

The tree is the truth, and the agent's cache of it is only read: a copy in a temporary folder is brought up to date
with the tree. Nothing is written where footage lies, but for a clip that somebody asks for somewhere else.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from edge_agent.config import Config
from edge_agent.core.model import Now, Purpose, Segment
from edge_agent.core.retention import Candidate, Policy, VolumeState
from edge_agent.core.segments import start_instant
from edge_agent.storage.catalog import INDEX_NAME, Catalog, Reconciled
from edge_agent.storage.index import Filter
from edge_agent.storage.spool import Spool
from edge_agent.storage.volume import room_at

_BUSY_S = 2.0
"""How long to wait for the agent's own writing before its cache is left alone."""


class Shelf:
    """What is stored, as of `found`. Blocking. Close it by leaving `open_shelf`."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.found: Reconciled = catalog.reconcile()

    def segments(self, wanted: Filter) -> tuple[Segment, ...]:
        """Segments that pass the filter, oldest first."""
        return self._catalog.ask(lambda index: index.window(wanted))

    def candidates(self) -> list[Candidate]:
        """Every segment, snapshot and clip as retention sees it."""
        return self._catalog.ask(lambda index: [*index.candidates(-1), *index.extras.oldest(-1)])


@contextmanager
def open_shelf(config: Config) -> Iterator[Shelf]:
    """The archive of this configuration."""
    with tempfile.TemporaryDirectory(prefix="edge-agent-") as name:
        folder = Path(name)
        _copy_cache(config.device.state_dir / INDEX_NAME, folder / INDEX_NAME)
        catalog = Catalog(config.recording.root.absolute(), folder)
        try:
            yield Shelf(catalog)
        finally:
            catalog.close()


def _copy_cache(source: Path, target: Path) -> None:
    """Take a consistent copy of the agent's cache; where there is none to be had, the tree is read from scratch."""
    if not source.is_file():
        return
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", timeout=_BUSY_S, uri=True)) as theirs,
            closing(sqlite3.connect(target)) as ours,
        ):
            theirs.backup(ours)
    except sqlite3.Error:
        target.unlink(missing_ok=True)


def room_of(root: Path) -> VolumeState:
    """The room on the volume at `root`, or where it would be made. Raises OSError."""
    place = next((place for place in (root, *root.parents) if place.exists()), root)
    return room_at(place).state


def policy_of(config: Config) -> Policy:
    """What is to be kept."""
    recording = config.recording
    return Policy(recording.min_free_bytes, recording.min_free_percent, recording.max_bytes, recording.max_age)


def write_rate_bps(config: Config) -> int:
    """Bits a second that recording writes in the mode that is selected at first."""
    mode = config.mode_table()[config.default_mode()]
    return mode.steps[0].profile.bitrate_bps * len(mode.cameras) if mode.purpose is Purpose.RECORD else 0


def open_pieces(root: Path, camera: str, now: Now) -> list[tuple[Path, datetime]]:
    """The camera's segment files that are still in the spool, with their starts, oldest first. Only reads."""
    pieces: list[tuple[Path, datetime]] = []
    for run in Spool(root).runs():
        if run.record.run.camera == camera:
            look = run.look(now)
            first = run.record.first_frame or run.record.spawned
            spooled = [*look.closed, *([look.open] if look.open else [])]
            pieces += [(one.path, start_instant(first.wall, run.offset_s(one))) for one in spooled]
    return pieces
