"""A program that mounts a small volume, harms it, says what the storage room says of it, and heals it again.

`python -m tests.fakes.small_volume SCENARIO FOLDER`, in a mount namespace of its own.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.storage.archive import Archive
from edge_agent.storage.errors import StorageError
from edge_agent.storage.spool import Spool
from edge_agent.storage.volume import Volume
from tests.storage.footage import AT, box, run_record, segment, spool_segment

PAGE_BYTES = 4096


@contextmanager
def bytes_gone(root: Path) -> Iterator[None]:
    filling = root / "somebody's film.mkv"
    with filling.open("wb", buffering=0) as file:
        for size in (PAGE_BYTES, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue
    yield
    filling.unlink()


@contextmanager
def inodes_gone(root: Path) -> Iterator[None]:
    made: list[Path] = []
    for number in itertools.count():
        try:
            (root / f"{number}.txt").touch(exist_ok=False)
        except OSError:
            break
        made.append(root / f"{number}.txt")
    yield
    for path in made:
        path.unlink()


@contextmanager
def writing_gone(root: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", root], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", root], check=True)


HARMS = {"bytes": bytes_gone, "inodes": inodes_gone, "read_only": writing_gone}


def say(what: str, call: Callable[[], object], fine: str) -> None:
    try:
        call()
    except StorageError as error:
        print(what, error.trouble)
    else:
        print(what, fine)


def main(scenario: str, folder: str) -> None:
    root, state = Path(folder, "small"), Path(folder, "state")
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=40", "none", root], check=True)
    volume, spool, archive = Volume(root, state), Spool(root), Archive(root, state)
    assert volume.probe().trouble is None
    archive.reconcile()
    run = spool.create(run_record())
    # The description that a commit appends has to need another page.
    content = segment(2)
    spooled = spool_segment(run, 0, content + box(b"free", bytes(-len(content) % PAGE_BYTES - 8)))
    with HARMS[scenario](root):
        print("check", volume.check().trouble)
        say("create", lambda: spool.create(run_record(2)), "made")
        say("commit", lambda: archive.commit(run, spooled), "stored")
        say("snapshot", lambda: archive.store_snapshot("cam0", AT, b"jpeg"), "stored")
    left = [path.name for path in root.rglob("*") if path.is_file()]
    print("left", *sorted(left))
    print("check", volume.probe().trouble)
    stored = archive.commit(run, spooled)
    print("commit", "stored" if stored and stored.duration_s == 2.0 else stored)
    say("create", lambda: spool.create(run_record(3)), "made")


if __name__ == "__main__":
    main(*sys.argv[1:])
