"""Notices that a disk does not answer. A task of its own, because whoever asks the disk waits with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from edge_agent.app.disk import Disk
from edge_agent.core import events as ev
from edge_agent.ports import Post

STALLED_AFTER_S = 5.0
"""Below the 10 s of silence after which a camera is taken for dead. Cards are known to pause for a second or two."""
LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class StallWatch:
    """Watches the threads that work on the recording volume, and tells the core when one begins and ends to hang."""

    def __init__(self, disks: Sequence[Disk], post: Post) -> None:
        self.stalled = False
        self._disks = disks
        self._post = post

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Tell if it changed whether some disk hangs."""
        stalled_s = max(disk.stalled_s for disk in self._disks)
        stalled = stalled_s >= STALLED_AFTER_S
        if stalled == self.stalled:
            return
        self.stalled = stalled
        if stalled:
            log.warning("the disk does not answer, since %.0f s", stalled_s)
            self._post(
                ev.StorageStalled(
                    "the disk does not answer: footage waits in the recorders' memory, which holds 20 s; "
                    "if this comes again, the card or its reader is failing"
                )
            )
        else:
            log.info("the disk answers again")
            self._post(ev.StorageStalled(None))
