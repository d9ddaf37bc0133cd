"""What lies in the spool that nobody works on: recorders that an agent left running, and what dead ones wrote."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from edge_agent.app.disk import Disk
from edge_agent.core.model import RunRecord, Session
from edge_agent.rpicam.argv import tap_port
from edge_agent.rpicam.process import CameraProcess, adopt, find_by_argument
from edge_agent.storage.errors import StorageError
from edge_agent.storage.spool import Spool, SpoolRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the spool at a start: recorders that live on, and what dead ones left."""

    living: tuple[tuple[SpoolRun, CameraProcess], ...]
    dead: tuple[SpoolRun, ...]

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return tuple(spooled.record for spooled, _ in self.living)

    @property
    def session(self) -> Session | None:
        """What the newest living recorder was started for: tells what is on where the agent's memory is lost."""
        return self.living[-1][0].record.session if self.living else None

    @property
    def newest_sequence(self) -> int:
        """The highest run sequence in the spool, 0 when it is empty."""
        runs = [*(spooled for spooled, _ in self.living), *self.dead]
        return max((spooled.record.run.sequence for spooled in runs), default=0)

    @property
    def tap_ports(self) -> dict[str, int]:
        """The loopback ports that living recorders copy to, by camera."""
        ports = {spooled.record.run.camera: tap_port(spooled.record.argv) for spooled, _ in self.living}
        return {camera: port for camera, port in ports.items() if port is not None}


async def find_runs(spool: Spool, disk: Disk, boot_id: str, known: AbstractSet[str] = frozenset()) -> Found:
    """Look for what was left in the spool, but for the runs that are `known`. Raises `StorageError`."""
    living: list[tuple[SpoolRun, CameraProcess]] = []
    dead: list[SpoolRun] = []
    for spooled in await disk.run(spool.runs):
        if spooled.record.run.run_id in known:
            continue
        process = await disk.run(_process_of, spooled, boot_id)
        if process is None:
            dead.append(spooled)
        else:
            living.append((spooled, process))
    return Found(tuple(living), tuple(dead))


def _process_of(spooled: SpoolRun, boot_id: str) -> CameraProcess | None:
    """The living recorder of a run; also where its agent died between starting it and noting the pid."""
    record = spooled.record
    if record.process is not None:
        return adopt(record.process, boot_id)
    for found in find_by_argument(f"/{record.run.run_id}/%06d.mp4", boot_id):
        process = adopt(found.identity, boot_id)
        if process is not None:
            log.warning("recorder found by its command line: run=%s pid=%d", record.run.run_id, found.identity.pid)
            try:
                spooled.save(replace(record, process=found.identity, argv=found.argv))
            except StorageError as error:
                log.warning("run record not written: run=%s error=%s", record.run.run_id, error)
            return process
    return None
