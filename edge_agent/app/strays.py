"""Camera programs that outlived their agent and that no later one can use: they are ended, for they hold the cameras.

A recorder is adopted by its record; what is left over is one whose record cannot be read. A live program ends by itself
when nobody reads its pictures, but not while its camera delivers none: so an agent notes which one it started.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edge_agent.core.model import ProcessIdentity
from edge_agent.rpicam.process import CameraProcess, Ladder, StopFailed, adopt, find_by_argument

log = logging.getLogger(__name__)


class LiveNote:
    """Which live program runs for a camera, in the state directory. Its methods block and never raise."""

    def __init__(self, state_dir: Path, camera: str) -> None:
        self._path = state_dir / f"live-{camera}.json"

    def write(self, identity: ProcessIdentity) -> None:
        """Note a program that was started. Not synced: no program outlives a power cut."""
        draft = self._path.with_suffix(".tmp")
        try:
            draft.write_text(json.dumps({"v": 1, **asdict(identity)}))
            draft.replace(self._path)
        except OSError as error:
            log.warning("live program not noted: path=%s error=%s", self._path, error.strerror)

    def clear(self) -> None:
        """Forget a program that has ended."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def read(self) -> ProcessIdentity | None:
        """The program that an earlier agent noted and did not see end."""
        try:
            noted = json.loads(self._path.read_text())
            return ProcessIdentity(int(noted["pid"]), int(noted["start_ticks"]), str(noted["boot_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def live_strays(state_dir: Path, cameras: Iterable[str], boot_id: str) -> list[CameraProcess]:
    """The live programs of an earlier agent that still run. Blocking."""
    noted = [LiveNote(state_dir, camera).read() for camera in cameras]
    return [process for identity in noted if identity and (process := adopt(identity, boot_id))]


def recorder_strays(spool: Path, boot_id: str, adopted: Iterable[ProcessIdentity]) -> list[CameraProcess]:
    """The recorders that write below this spool and that nobody adopted. Blocking."""
    known = {identity.pid for identity in adopted}
    found = [
        one.identity
        for one in find_by_argument(f"{spool}/", boot_id)
        if one.identity.pid not in known
        and any("/%06d.mp4" in word for word in one.argv)
        and _is_ours(one.identity.pid)
    ]
    return [process for identity in found if (process := adopt(identity, boot_id))]


def _is_ours(pid: int) -> bool:
    """Whether a process is of this user and outside of containers, in which the same path is another place."""
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except OSError:
        return False


async def end(strays: Iterable[CameraProcess], ladder: Ladder) -> None:
    """End all of them at the same time, and return when they are gone or outlived even SIGKILL."""
    async with asyncio.TaskGroup() as tasks:
        for stray in strays:
            log.warning("ending a camera program that an earlier agent left: pid=%d", stray.identity.pid)
            tasks.create_task(_end(stray, ladder), name=f"end pid {stray.identity.pid}")


async def _end(stray: CameraProcess, ladder: Ladder) -> None:
    try:
        await stray.stop(ladder)
    except StopFailed as error:
        log.error("it cannot be ended: %s", error)  # noqa: TRY400 - the error says all
    finally:
        stray.release()
