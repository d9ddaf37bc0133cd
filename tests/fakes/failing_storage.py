"""A program that asks all kinds of things of the storage room while its disk fails, and says what came of each.

`python -m tests.fakes.failing_storage ROOT STATE FAULTS`: ROOT is a mounted `faulty_disk`, FAULTS its file of faults.
One line for each fault and question: `StorageError`, `answered`, or the name of an error that nobody should meet.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.core.retention import Policy, VolumeState
from edge_agent.storage.archive import Archive
from edge_agent.storage.errors import StorageError
from edge_agent.storage.index import Filter
from edge_agent.storage.locks import LockWindow
from edge_agent.storage.spool import Spool
from edge_agent.storage.volume import Volume
from tests.storage.footage import AT, now, run_record, segment, spool_segment, store

KINDS = ("look", "read", "write", "sync", "change")
FAULTS: dict[str, dict[str, str]] = {
    **{f"{kind} EIO": {kind: "EIO"} for kind in KINDS},
    "pulled out": dict.fromkeys(KINDS, "ENOTCONN"),
    "full": {"write": "ENOSPC", "change": "ENOSPC"},
    "read-only": {"write": "EROFS", "change": "EROFS"},
    "denied": {"look": "EACCES"},
}


def put(path: Path, faults: dict[str, str]) -> None:
    """Put faults in force, and wait until the disk must have seen them."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(faults))
    draft.replace(path)
    time.sleep(0.15)


def questions(root: Path, archive: Archive, number: int) -> dict[str, Callable[[], object]]:
    """What can be asked, in an order in which each finds what it needs; some stored, some open footage is there."""
    paths = store(root, archive, run_record(2 * number, first=now(100 * number)), 3)
    archive.lock(LockWindow(now(100 * number).wall, now(100 * number + 1).wall, "kept", None, AT))
    spool = Spool(root)
    run = spool.create(run_record(2 * number + 1, first=now(100 * number + 50)))
    spooled = spool_segment(run, 0)
    run.look(now(100 * number + 51))
    run.sync_open()
    with spooled.path.open("ab") as file:
        file.write(segment())
    volume = Volume(root, root.parent / "state")
    window = LockWindow(AT, None, "x", None, AT)
    return {
        "check": volume.check,
        "probe": volume.probe,
        "demand": volume.demand,
        "page": lambda: archive.page(Filter()),
        "window": lambda: archive.window(None, None, None),
        "find": lambda: archive.find(paths[0]),
        "open": lambda: _close(archive.open(paths[0])),
        "lock": lambda: archive.lock(window, AT),
        "unlock": lambda: archive.unlock("x"),
        "usage": archive.usage,
        "plan": lambda: archive.retention_plan(VolumeState(10, 100), Policy(50, 0), now(), clock_synchronized=True),
        "snapshot": lambda: archive.store_snapshot("cam0", AT, b"jpeg"),
        "thumbnail": lambda: archive.store_thumbnail(paths[1], b"jpeg"),
        "clip": archive.new_clip,
        "create": lambda: spool.create(run_record(900_000 + number)),
        "runs": spool.runs,
        "look": lambda: run.look(now(100 * number + 53)),
        "sync": run.sync_open,
        "save": lambda: run.save(run.record),
        "finish": lambda: run.look(now(100 * number + 54), finished=True),
        "commit": lambda: archive.commit(run, spooled),
        "close": run.close,
        "remove": run.remove,
        "delete a locked one": lambda: archive.delete(paths[0]),
        "delete": lambda: archive.delete(paths[2]),
        "reconcile": archive.reconcile,
    }


def ask(question: Callable[[], object]) -> str:
    try:
        question()
    except StorageError:
        return "StorageError"
    except OSError as error:
        return repr(error)
    return "answered"


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def main(root: Path, state: Path, faults: Path) -> None:
    assert Volume(root, state).probe().trouble is None
    archive = Archive(root, state)
    archive.reconcile()
    for number, (fault, kinds) in zip(itertools.count(1), FAULTS.items(), strict=False):
        asked = questions(root, archive, number)
        put(faults, kinds)
        for name, question in asked.items():
            print(f"{fault}: {name}: {ask(question)}", flush=True)
        put(faults, {})
    archive.reconcile()
    kept = sum("kept" in one.lock_labels for one in archive.window(None, None, None))
    print(f"in the end: {archive.usage().count} segments, {kept} locked ones kept", flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
