"""A program that does something to an archive and dies in the middle of it, again and again, each time elsewhere.

`python -m tests.fakes.crashes SCENARIO DEATH FOLDER COUNT SEED` makes up to COUNT folders `FOLDER/0`, `FOLDER/1` ...
(one for every instant of death when COUNT is 0), each with the tree that the death left and `facts`: one line for
everything that was promised before. DEATH is one of these, or some joined by `+` that hit one after another:

`kill` is SIGKILL before some line of the storage room. What was written stays, as the kernel lives on.

`power` is a power cut before some call that changes the disk. Of what was not synced, every name and every file's
content is there or not by chance; a file may hold its beginning only. What this cannot show: a disk that loses what it
had reported as synced, and damage to the file system's own structures.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from edge_agent.storage import archive as storage
from edge_agent.storage.archive import Archive
from edge_agent.storage.locks import LockWindow
from edge_agent.storage.spool import Spool
from tests.storage.footage import AT, now, run_record, segment, spool_segment, store

Act = Callable[[Path, Path], Iterator[str]]
"""Does something to the tree of a root and a state directory, and yields each fact that must outlive a death.

It goes on after the last fact of its own, or no death would come when that is told already.
"""

ROOM = str(Path(storage.__file__).parent)
CHANGES = ("open", "write", "ftruncate", "fsync", "fdatasync", "link", "unlink", "rename", "replace", "mkdir", "rmdir")


def prepare(root: Path, state: Path) -> None:
    """Two stored segments, one of them locked, and a run of two in the spool, the second with a torn tail."""
    root.mkdir(parents=True)
    archive = Archive(root, state)
    archive.reconcile()
    store(root, archive, run_record(1), 2)
    archive.lock(LockWindow(AT, AT.replace(second=1), "before", None, AT))
    archive.close()
    run = Spool(root).create(run_record(2, first=now(10)))
    spool_segment(run, 0)
    spool_segment(run, 1, segment(3)[:-5])


def recover(root: Path, state: Path) -> Iterator[str]:
    archive = Archive(root, state)
    archive.reconcile()
    for run in Spool(root).runs():
        for spooled in run.look(now(90), finished=True).closed:
            stored = archive.commit(run, spooled)
            if stored is not None:
                yield f"stored {stored.path}"
        run.remove()
    archive.close()


def delete(root: Path, state: Path) -> Iterator[str]:
    archive = Archive(root, state)
    archive.reconcile()
    for one in archive.window(None, None, None):
        yield f"{archive.delete(one.path)} {one.path}"
    yield from recover(root, state)


def lock(root: Path, state: Path) -> Iterator[str]:
    archive = Archive(root, state)
    archive.reconcile()
    archive.lock(LockWindow(AT, None, "all", None, AT))
    yield "locked"
    yield from recover(root, state)


def unlock(root: Path, state: Path) -> Iterator[str]:
    archive = Archive(root, state)
    archive.reconcile()
    archive.unlock()
    yield "unlocked"
    yield from recover(root, state)


def save(root: Path, state: Path) -> Iterator[str]:
    record = run_record(3, "cam1", first=now(20))
    run = Spool(root).create(record)
    yield "label None"
    for label in ("one", "two"):
        run.save(replace(record, session=replace(record.session, label=label)))
        yield f"label {label}"
    Spool(root).create(run_record(4, "cam1", first=now(30)))


def keep(root: Path, state: Path) -> Iterator[str]:
    archive = Archive(root, state)
    archive.reconcile()
    yield f"kept {archive.store_snapshot('cam0', AT, b'jpeg' * 1000)}"
    clip = archive.new_clip()
    clip.write_bytes(b"clip" * 1000)
    yield f"kept {archive.store_clip(clip, 'cam0', AT, AT)}"
    yield from recover(root, state)


def upload(root: Path, state: Path) -> Iterator[str]:
    """The locked segment was sent and is released; a clip was sent."""
    archive = Archive(root, state)
    archive.reconcile()
    (segment,) = (one.path for one in archive.window(None, None, None) if one.locked)
    archive.mark_uploaded(segment, b"receipt", release=True)
    yield f"uploaded {segment}"
    written = archive.new_clip()
    written.write_bytes(b"clip" * 1000)
    clip = archive.store_clip(written, "cam0", AT, AT)
    archive.mark_uploaded(clip, b"receipt", release=True)
    yield f"uploaded {clip}"
    yield from recover(root, state)


SCENARIOS: dict[str, Act] = {act.__name__: act for act in (recover, delete, lock, unlock, save, keep, upload)}


CUT = 9
"""The exit status of a child whose power was cut."""


class Kill:
    """SIGKILL before the `deadly`th line that runs in the storage room."""

    def __init__(self, tree: Path, deadly: int, seed: int) -> None:
        self.passed = 0
        self._deadly = deadly

    def arm(self) -> None:
        sys.settrace(self._entered)

    def _entered(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_filename.startswith(ROOM) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        if event == "line":
            self.passed += 1
            if self.passed == self._deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line


class PowerCut:
    """A power cut before the `deadly`th call that changes something. Leaves the tree as the disk would show it."""

    def __init__(self, tree: Path, deadly: int, seed: int) -> None:
        self.passed = 0
        self._tree = tree
        self._deadly = deadly
        self._chance = random.Random(f"{seed} {deadly}")
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        for folder, _, files in os.walk(tree):
            self._names[Path(folder).stat().st_ino] = listing(folder)
            for name in files:
                path = Path(folder, name)
                self._contents[path.stat().st_ino] = path.read_bytes()
        self._fsync = os.fsync

    def arm(self) -> None:
        for name in CHANGES:
            setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            reads = call.__name__ == "open" and not (len(args) > 1 and args[1] & os.O_CREAT)
            if not reads:
                self.passed += 1
                if self.passed == self._deadly:
                    self._cut()
            result = call(*args, **kwargs)
            if call.__name__ in {"fsync", "fdatasync"}:
                self._synced(args[0])
            return result

        return counted

    def _synced(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            self._names[facts.st_ino] = listing(f"/proc/self/fd/{descriptor}")
        else:
            self._contents[facts.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    def _cut(self) -> NoReturn:
        self._deadly = -1
        found: dict[int, bytes] = {}
        names: dict[int, dict[str, tuple[int, bool]]] = {}
        for folder, _, files in os.walk(self._tree):
            names[Path(folder).stat().st_ino] = listing(folder)
            found |= {Path(folder, name).stat().st_ino: Path(folder, name).read_bytes() for name in files}
        left = self._tree.with_name(self._tree.name + ".left")
        self._rebuild(self._tree.stat().st_ino, left, names, found, {})
        shutil.rmtree(self._tree)
        left.rename(self._tree)
        os._exit(CUT)

    def _rebuild(
        self,
        folder: int,
        there: Path,
        names: dict[int, dict[str, tuple[int, bool]]],
        found: dict[int, bytes],
        made: dict[int, Path],
    ) -> None:
        there.mkdir()
        synced, current = self._names.get(folder, {}), names.get(folder, {})
        for name in sorted({*synced, *current}):
            # The cache's files are SQLite's own affair and are written past the calls that are counted here.
            choice = current if "sqlite" in name else self._chance.choice([synced, current])
            entry = choice.get(name)
            if entry is None:
                continue
            inode, is_folder = entry
            if is_folder:
                self._rebuild(inode, there / name, names, found, made)
            elif inode in made:
                (there / name).hardlink_to(made[inode])
            else:
                (there / name).write_bytes(self._content(inode, found, "sqlite" in name))
                made[inode] = there / name

    def _content(self, inode: int, found: dict[int, bytes], whole: bool) -> bytes:
        synced, current = self._contents.get(inode), found.get(inode)
        if current is None or current == synced:
            return synced or b""
        if whole:
            return current
        # Writing out may have come to any place; what was synced before and not changed since is not in danger.
        before = synced or b""
        pairs = enumerate(zip(before, current, strict=False))
        kept = next((place for place, (old, new) in pairs if old != new), min(len(before), len(current)))
        torn = current[: self._chance.randint(kept, len(current))]
        return self._chance.choice([before, torn, current])


Death = Callable[[Path, int, int], Kill | PowerCut]
DEATHS: dict[str, Death] = {"kill": Kill, "power": PowerCut}


def listing(folder: str) -> dict[str, tuple[int, bool]]:
    """What a folder holds: inode, and whether it is a folder itself."""
    with os.scandir(folder) as entries:
        return {entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in entries}


def die(act: Act, death: Death, folder: Path, deadly: int, seed: int) -> int:
    """Run `act` on the tree in a child that dies at the `deadly`th point; how many points it passed if it lived."""
    tree = folder / "tree"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        note = os.write
        facts = os.open(folder / "facts", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        dying = death(tree, deadly, seed)
        dying.arm()
        for fact in act(tree / "root", tree / "state"):
            note(facts, f"{fact}\n".encode())
        sys.settrace(None)
        note(writing, str(dying.passed).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as passed:
        told = passed.read()
    if not told and not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) != CUT:
        sys.exit(f"the scenario failed by itself at point {deadly}")
    return int(told or 0)


def main(scenario: str, death: str, folder: str, count: str, seed: str) -> None:
    act, deaths = SCENARIOS[scenario], [DEATHS[name] for name in death.split("+")]
    whole = Path(folder, "whole")
    prepare(whole / "tree/root", whole / "tree/state")
    points = range(1, die(act, deaths[0], whole, 0, 0) + 1)
    chance = random.Random(seed)
    chosen = points if int(count) == 0 else sorted(chance.sample(points, min(int(count), len(points))))
    for number, deadly in enumerate(chosen):
        here = Path(folder, str(number))
        prepare(here / "tree/root", here / "tree/state")
        die(act, deaths[0], here, deadly, int(seed))
        for again in deaths[1:]:
            die(act, again, here, chance.choice(points), int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
