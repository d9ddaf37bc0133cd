"""What the agent keeps on disks: the recording volume with spool and archive, and the state directory.

Each has a thread of its own, and so has the look at the volume: a disk that hangs must not take the others along.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Set as AbstractSet

from edge_agent.app.disk import Disk
from edge_agent.app.found import Found, find_runs
from edge_agent.config import Config
from edge_agent.ports import Clock
from edge_agent.storage.archive import Archive
from edge_agent.storage.claim import VolumeClaim, claim
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.journal import CommandJournal, Recalled
from edge_agent.storage.spool import Spool
from edge_agent.storage.state import StateFile
from edge_agent.storage.volume import Health, Volume

FIRST_LOOK_PATIENCE_S = 10.0
"""How long a start waits for the volume. After that the agent begins without it, so that somebody can be told."""
UNREADABLE = frozenset({Trouble.VOLUME_MISSING, Trouble.OTHER_VOLUME, Trouble.IN_USE, Trouble.IO_ERROR, Trouble.DENIED})
"""With these, what lies at the root is not our archive, or not all of it: nothing is learned from it."""

log = logging.getLogger(__name__)


class Stores:
    """Makes its threads at once, touches the disks when asked. `close` it at the end."""

    def __init__(self, config: Config, clock: Clock) -> None:
        root, state_dir = config.recording.root, config.device.state_dir
        self.footage = Disk("footage", clock)
        self.probing = Disk("probing", clock)
        self.state = Disk("state", clock)
        self._volume_claim = VolumeClaim()
        self.volume = Volume(root, state_dir, self._volume_claim)
        self.spool = Spool(root)
        self.archive = Archive(root, state_dir)
        self.journal = CommandJournal(state_dir / "commands.jsonl")
        self.state_file = StateFile(state_dir / "state.json")
        self.readable = False
        """Whether what lies at the root is the archive, all of it."""
        self.scanned = False
        """Whether this agent has agreed with what lies in the archive."""
        self.away = False
        """Whether it is known that the volume is not there, nor what recorders still write to it."""
        self._state_dir = state_dir
        self._claim: int | None = None

    async def claim(self) -> None:
        """Make sure that no other agent uses these; until `close`. Raises `InUse`."""
        self._claim = await self.state.run(claim, self._state_dir)

    async def first_look(self) -> Health:
        """See whether the volume is there before anything is read from it."""
        try:
            async with asyncio.timeout(FIRST_LOOK_PATIENCE_S):
                health = await self.probing.run(self.volume.check)
        except TimeoutError:
            health = Health(Trouble.IO_ERROR, "the disk of the recordings does not answer: check it and its cable")
        self.readable = health.trouble not in UNREADABLE
        self.away = health.trouble in (Trouble.VOLUME_MISSING, Trouble.OTHER_VOLUME)
        return health

    async def find_runs(self, boot_id: str, known: AbstractSet[str] = frozenset()) -> Found:
        """What recorders left in the spool, or still write there; without the runs that are `known`."""
        if not self.readable:
            return Found((), ())
        try:
            return await find_runs(self.spool, self.footage, boot_id, known)
        except StorageError as error:
            log.error("the spool cannot be read: %s", error)  # noqa: TRY400 - the error says all
            return Found((), ())

    async def scan(self) -> None:
        """Agree with what lies in the archive. A volume that cannot be read is scanned when it is back."""
        if not self.readable:
            return
        try:
            scanned = await self.footage.run(self.archive.reconcile)
        except StorageError as error:
            log.error("the archive cannot be scanned: %s", error)  # noqa: TRY400 - the error says all
            return
        self.scanned = True
        log.info("archive scanned segments=%d entered=%d gone=%d", scanned.segments, scanned.entered, scanned.gone)
        if scanned.unreadable:
            log.error(
                "folders of the archive cannot be read, and their footage is not in the list: count=%d first=%r",
                len(scanned.unreadable),
                scanned.unreadable[0],
            )
        if scanned.strangers:
            log.warning(
                "files with a segment's name are damaged or not ours: count=%d first=%r; "
                "`edge-agent recordings verify` says what is wrong with each",
                len(scanned.strangers),
                scanned.strangers[0],
            )

    async def recall_commands(self) -> Recalled:
        """What the last agent was told and answered."""
        try:
            return await self.state.run(self.journal.load)
        except StorageError as error:
            log.error("commands of the last agent are forgotten: %s", error)  # noqa: TRY400 - the error says all
            return Recalled((), {})

    async def newest_sequence(self) -> int:
        """The highest run sequence that the archive's cache knows."""
        try:
            return await self.footage.run(self.archive.newest_sequence)
        except StorageError:
            return 0

    def close(self) -> None:
        """Let go of disks and files; of those that hang, without waiting for long."""
        answered = [disk.close() for disk in (self.footage, self.state, self.probing)]
        if all(answered):
            self.archive.close()
            self.journal.close()
        self._volume_claim.close()
        if self._claim is not None:
            os.close(self._claim)
