"""What survives a restart: the core's saved state as JSON in the state file. Implements `ports.Memory`."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from edge_agent.app.disk import Disk
from edge_agent.config import Config
from edge_agent.core import events as ev
from edge_agent.core.effects import SavedState
from edge_agent.core.model import Now, Session
from edge_agent.ports import Post
from edge_agent.storage.errors import StorageError
from edge_agent.storage.state import StateFile

log = logging.getLogger(__name__)


RETRY_S = 30.0
"""A state that could not be written is tried again after so long: the disk may be well, and nothing else change."""


class Memory:
    """Writes the newest state, one write at a time; what changed meanwhile is written once, after it.

    The write is queued at once: an agent that leaves right after a command has closed its disks when all is written.
    """

    def __init__(
        self,
        file: StateFile,
        disk: Disk,
        boot_id: str,
        tasks: asyncio.TaskGroup,
        post: Post = lambda _: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._file = file
        self._disk = disk
        self._boot_id = boot_id
        self._tasks = tasks
        self._post = post
        self._retry_s = retry_s
        self._newest: SavedState | None = None

    def save(self, state: SavedState) -> None:
        self._newest = state
        written = self._disk.submit(self._write, state)
        self._tasks.create_task(self._see(state, written), name="save state")

    def _write(self, state: SavedState) -> None:
        """Runs in the disk's thread. What is not the newest any more is left out: a newer one is queued behind it."""
        if state is self._newest:
            self._file.save(encode(state, self._boot_id))

    async def _see(self, state: SavedState, written: Future[None]) -> None:
        """Tell how the write went, and try again for as long as nothing newer is to be written."""
        while (error := await _outcome(written)) is not None:
            log.error("state not saved: %s", error)
            told = f"what is selected and recorded now is forgotten at the next start ({error}): make room there"
            self._post(ev.ProblemChanged("state_unsaved", told))
            await asyncio.sleep(self._retry_s)
            if state is not self._newest:
                return
            written = self._disk.submit(self._write, state)
        self._post(ev.ProblemChanged("state_unsaved", None))


async def _outcome(written: Future[None]) -> Exception | None:
    try:
        # Shielded, or leaving would take back a write that still waits for its turn.
        await asyncio.shield(asyncio.wrap_future(written))
    except (StorageError, OSError) as error:
        return error
    return None


def encode(state: SavedState, boot_id: str) -> dict[str, Any]:
    """The state as JSON values; `boot_id` says on which boot its monotonic instants count."""
    document = asdict(state)
    if state.session and state.session.started:
        started = state.session.started
        document["session"]["started"] = {"mono_s": started.mono_s, "wall": started.wall.isoformat()}
    return {"boot_id": boot_id, **document}


def decode(document: dict[str, Any]) -> tuple[SavedState, str]:
    """The reverse of `encode`. Raises KeyError, TypeError or ValueError for anything else."""
    session = document["session"]
    if session is not None:
        started = session["started"]
        session = Session(
            id=str(session["id"]),
            mode=str(session["mode"]),
            cameras=tuple(str(camera) for camera in session["cameras"]),
            step=int(session["step"]),
            duration_s=float(session["duration_s"]),
            label=None if session["label"] is None else str(session["label"]),
            started=started and Now(float(started["mono_s"]), datetime.fromisoformat(started["wall"]).astimezone(UTC)),
        )
    state = SavedState(
        selected_mode=str(document["selected_mode"]),
        selected_duration_s=float(document["selected_duration_s"]),
        next_sequence=int(document["next_sequence"]),
        session=session,
    )
    return state, str(document["boot_id"])


def recall(document: dict[str, Any] | None, config: Config, boot_id: str, now: Now) -> SavedState:
    """What to begin with: the saved state as far as it fits the configuration, its session on this boot's clock."""
    table = config.mode_table()
    fresh = SavedState(config.default_mode(), 0.0, 1, None)
    if document is None:
        return fresh
    try:
        state, saved_boot = decode(document)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("the saved state makes no sense and is not used: %s", error)
        return fresh
    return replace(
        state,
        selected_mode=state.selected_mode if state.selected_mode in table else fresh.selected_mode,
        session=rebased(state.session, now, same_boot=saved_boot == boot_id),
    )


def rebased(session: Session | None, now: Now, *, same_boot: bool) -> Session | None:
    """A saved session on this boot's monotonic clock.

    After a reboot the monotonic start is worked out from the wall clock; where that lies before the start (no battery
    clock, not synchronized yet), the recording counts as just begun, because too much footage beats too little.
    """
    if session is None or session.started is None or same_boot:
        return session
    elapsed_s = max(0.0, (now.wall - session.started.wall).total_seconds())
    return replace(session, started=Now(now.mono_s - elapsed_s, session.started.wall))
