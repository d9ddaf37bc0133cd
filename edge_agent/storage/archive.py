"""The archive: what was recorded, under dated names. The only place that gives such names, and that takes them away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from pathlib import Path, PurePosixPath

from edge_agent.core.model import Code, Now, Profile, Segment
from edge_agent.core.retention import Candidate, Held, Policy, RetentionPlan, VolumeState, plan
from edge_agent.core.segments import (
    clip_path,
    is_archive_path,
    is_extra_path,
    lock_path,
    parse_segment_path,
    segment_path,
    snapshot_path,
    thumbnail_path,
    uploaded_path,
)
from edge_agent.durable import sync_folder, write_durably
from edge_agent.storage.catalog import UNKNOWN_INODE, Catalog, Reconciled
from edge_agent.storage.commit import Sealed, describe, place, seal
from edge_agent.storage.errors import storage_errors
from edge_agent.storage.index import Filter, Page, Usage
from edge_agent.storage.locks import MAX_LABELS, LockOutcome, LockWindow, LockWindows, unfinished, write_lock
from edge_agent.storage.scan import made_at, read_lock
from edge_agent.storage.scratch import Scratch
from edge_agent.storage.spool import SCRATCH_NAME, SpooledSegment, SpoolRun
from edge_agent.storage.tree import is_regular, open_regular, opened_folder, unlink_if_there
from edge_agent.storage.uploads import Backlog, Footage, unmarked_clips

WINDOWS_NAME = "lock-windows.json"
_FIRST_CANDIDATES = 512
"""Of the oldest segments, looked at first by a retention plan: mostly one or two have to go."""


class Deleted(StrEnum):
    """How a deletion ended."""

    DELETED = "deleted"
    NOT_FOUND = "not_found"
    LOCKED = "locked"


class Archive:
    """The segments, snapshots and clips below `root`; what it has to remember beside them is in `state_dir`.

    Call `reconcile` before anything else. Methods raise `StorageError` when the disk fails. Paths are relative to the
    root, with slashes. Instants are aware.
    """

    def __init__(self, root: Path, state_dir: Path) -> None:
        self._root = root.absolute()
        self._state_dir = state_dir.absolute()
        self._windows = LockWindows(self._state_dir / WINDOWS_NAME)
        self._catalog = Catalog(self._root, self._state_dir)
        self._scratch = Scratch(self._root, self._root / "spool" / SCRATCH_NAME)

    def close(self) -> None:
        self._catalog.close()

    def reconcile(self) -> Reconciled:
        """Agree with the tree, finish lock commands that a crash cut short, and clear the scratch folder."""
        with storage_errors("read", self._root):
            self._scratch.clear()
            found = self._catalog.reconcile()
        for window in self._windows.windows:
            for segment in self.window(None, window.start, window.end):
                self._lock_as_wanted(segment, window)
        return found

    def commit(
        self, run: SpoolRun, spooled: SpooledSegment, *, clock_synchronized: bool | None = None
    ) -> Segment | None:
        """Store a closed segment under its dated name; None, and the file is gone, when nothing in it plays.

        Can be repeated after a `StorageError` and after a crash at any instant. `clock_synchronized` says whether the
        run's wall start can be trusted. Where a lock command asked for this footage, the segment is returned locked.
        """
        previous_end_s = self._previous_end_s(run, spooled.index)
        with storage_errors("store", spooled.path):
            sealed = seal(
                spooled.path,
                lambda whole: describe(run.record, spooled, whole, previous_end_s, clock_synchronized),
            )
            if sealed is None:
                unlink_if_there(spooled.path)
                sync_folder(run.directory)
                return None
            path = place(self._root, spooled.path, lambda serial: _name(sealed, serial))
        segment = self._catalog.enter(str(path), sealed)
        for window in self._windows.covering(segment):
            segment = self._lock_as_wanted(segment, window)
        with suppress(OSError):  # a window that is kept for longer does no harm
            self._windows.forget_before(segment.started_at)
        return segment

    def page(self, wanted: Filter, limit: int = 100, cursor: str | None = None) -> Page:
        """Up to `limit` segments, newest first. Raises `ValueError` for a cursor that no page gave.

        Segments that were deleted by hand are left out and forgotten, so that a page may be short; `next_cursor` alone
        tells the end.
        """
        page = self._catalog.ask(lambda index: index.page(wanted, limit, cursor))
        return replace(page, segments=self._existing(page.segments))

    def window(self, camera: str | None, start: datetime | None, end: datetime | None) -> tuple[Segment, ...]:
        """Segments that overlap the window, oldest first. None means all cameras, or no bound on that side."""
        wanted = Filter(camera=camera, start=start, end=end)
        return self._existing(self._catalog.ask(lambda index: index.window(wanted)))

    def usage(self) -> Usage:
        """Totals over all segments."""
        return self._catalog.ask(lambda index: index.usage())

    def newest_sequence(self) -> int:
        """The highest run sequence in the archive: the next run's must be above it, even when the state was lost."""
        return self._catalog.ask(lambda index: index.newest_sequence())

    def candidates(self, limit: int = -1) -> list[Candidate]:
        """The oldest segments as retention sees them, oldest first; all for a limit of -1."""
        return self._catalog.ask(lambda index: index.candidates(limit))

    def extras(self, limit: int = -1) -> list[Candidate]:
        """The oldest snapshots and clips likewise."""
        return self._catalog.ask(lambda index: index.extras.oldest(limit))

    def retention_plan(
        self,
        volume: VolumeState,
        policy: Policy,
        now: Now,
        *,
        clock_synchronized: bool,
        last_step_mono_s: float | None = None,
    ) -> RetentionPlan:
        """What retention would delete now; arguments as for `core.retention.plan`. Changes nothing.

        Looks at as many of the oldest segments and extras as the decision needs; at all of them where age counts.
        """
        usage = self.usage()
        held = Held(usage.bytes + usage.extra_bytes, usage.extra_bytes)
        limit = -1 if policy.max_age_s is not None else _FIRST_CANDIDATES
        while True:
            parts = self.candidates(limit), self.extras(limit)
            decided = plan(chain(*parts), volume, policy, now, clock_synchronized, last_step_mono_s, held)
            going = {removal.path for removal in decided.removals}
            if all(len(part) != limit or _stays(part, going) for part in parts):
                return decided
            limit *= 8

    def find(self, path: str) -> Segment | None:
        """The stored segment at this path, which may be any text."""
        return self._catalog.find(path) if parse_segment_path(path) else None

    def open(self, path: str) -> int | None:
        """A descriptor for reading a segment, thumbnail, snapshot or clip; None where there is none.

        The caller closes it. Follows no link. What is open can be read to its end even if it is deleted meanwhile.
        """
        name = PurePosixPath(path)
        segment = str(name.with_suffix(".mp4")) if is_archive_path(path) else ""
        if not segment or (parse_segment_path(segment) and self.find(segment) is None):
            return None
        with storage_errors("open", path):
            try:
                with opened_folder(self._root, name.parent) as folder:
                    return open_regular(name.name, folder)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def delete(self, path: str) -> Deleted:
        """Delete a segment with its thumbnail and folders that are empty then, a snapshot or a clip; nothing locked."""
        if is_extra_path(path):
            return self._delete_extra(path)
        if self.find(path) is None:
            return Deleted.NOT_FOUND
        name = PurePosixPath(path)
        labels = read_lock(self._root, lock_path(name))
        if labels:
            self._catalog.ask(lambda index: index.set_lock(path, labels, UNKNOWN_INODE))
            return Deleted.LOCKED
        with storage_errors("delete", path):
            with opened_folder(self._root, name.parent) as folder:
                # The mark before the segment: one that stays alone would be for whatever gets that name next.
                for beside in (thumbnail_path(name).name, uploaded_path(name).name, unfinished(lock_path(name).name)):
                    unlink_if_there(beside, folder)
                unlink_if_there(name.name, folder)
            for parent in list(name.parents)[:-1]:
                with suppress(OSError):  # not empty
                    (self._root / parent).rmdir()
        self._catalog.ask(lambda index: index.remove(path))
        return Deleted.DELETED

    def lock(self, window: LockWindow, recording_since: datetime | None = None) -> LockOutcome:
        """Protect the footage of a window on all cameras, as far as the window's quota allows.

        `recording_since` is the start of the oldest footage that is not stored yet, None when nothing is being
        recorded: what the window covers of it, or of the time to come, is locked when it is stored.
        """
        found = self.window(None, window.start, window.end)
        fresh = [segment for segment in found if not segment.locked]
        total = self._locked_bytes() + sum(segment.size_bytes for segment in fresh)
        pending = window.end is None or window.end > min(window.locked_at, recording_since or window.locked_at)
        if window.quota_bytes is not None and total > window.quota_bytes:
            return LockOutcome(Code.LOCK_QUOTA, locked_bytes=total)
        if not found and not pending:
            return LockOutcome(Code.NOT_FOUND, locked_bytes=total)
        with storage_errors("write", self._state_dir):
            self._windows.add(window)
        now = [self._locked_under(segment, window) for segment in found]
        locked = tuple(after for before, after in zip(found, now, strict=True) if not before.locked)
        return LockOutcome(Code.OK, locked, len(found) - len(fresh), pending, total)

    def unlock(
        self, label: str | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> tuple[Segment, ...]:
        """Take `label` (None: every label) off what is locked within the window; those segments, oldest first.

        Those that another label holds are still locked. Footage to come under that label is not locked any more.
        """
        with storage_errors("write", self._state_dir):
            self._windows.withdraw(label, start, end)
        held = self._catalog.ask(lambda index: index.window(Filter(start=start, end=end, locked=True)))
        return tuple(self._unlocked(one, label) for one in held if label is None or label in one.lock_labels)

    def backlog(self, limit: int) -> Backlog:
        """What is to be sent elsewhere: clips and locked segments without an `.uploaded` mark, up to `limit` named."""
        with storage_errors("read", self._root):
            clips = unmarked_clips(self._root)
        segments = self._existing(self._catalog.ask(lambda index: index.to_send(limit)))
        count, size_bytes = self._catalog.ask(lambda index: index.left_to_send())
        waiting = [*clips, *(Footage(one.path, one.camera, one.size_bytes) for one in segments)]
        total_bytes = size_bytes + sum(clip.size_bytes for clip in clips)
        return Backlog(count + len(clips), total_bytes, tuple(waiting[:limit]))

    def mark_uploaded(self, path: str, receipt: bytes, *, release: bool) -> bool:
        """Note beside a segment or clip that it was sent elsewhere; with `release` unlock it, and tell whether it was.

        `receipt` is what the mark says of that, for people. What was deleted meanwhile is passed over.
        """
        segment = self.find(path)
        released = release and segment is not None and segment.locked
        if released and segment is not None:
            # Before the mark: a crash in between leaves what can go, not what stays for ever.
            self._unlocked(segment, None)
        name = PurePosixPath(path)
        with storage_errors("mark", path):
            if not (self._root / name).is_file():
                return released
            write_durably(self._root / uploaded_path(name), receipt)
        self._catalog.ask(lambda index: index.set_uploaded(path))
        return released

    def store_snapshot(self, camera: str, at: datetime, jpeg: bytes, *, dated: bool = True) -> str:
        """Store a picture, synced; its path. `dated` False: the clock is known to be wrong."""
        with storage_errors("store a snapshot in", self._root):
            path = self._scratch.write(jpeg, "jpg")
            return self._keep_extra(path, lambda serial: snapshot_path(camera, at, serial), dated=dated)

    def store_thumbnail(self, segment: str, jpeg: bytes) -> str:
        """Store a segment's thumbnail in place of an older one; its path."""
        name = thumbnail_path(PurePosixPath(segment))
        with storage_errors("store", name):
            self._scratch.replace(self._scratch.write(jpeg, "jpg"), name)
        return str(name)

    def new_clip(self) -> Path:
        """Where to write a clip; `store_clip` it when it is complete."""
        with storage_errors("create", self._root):
            return self._scratch.new_path("mp4")

    def store_clip(self, written: Path, camera: str, start: datetime, end: datetime, *, dated: bool = True) -> str:
        """Sync a written clip and give it its name; its path. `dated` as for snapshots."""
        with storage_errors("store", written):
            return self._keep_extra(written, lambda serial: clip_path(camera, start, end, serial), dated=dated)

    def _delete_extra(self, path: str) -> Deleted:
        name = PurePosixPath(path)
        with storage_errors("delete", path):
            try:
                with opened_folder(self._root, name.parent) as folder:
                    found = is_regular(name.name, folder)
            except (FileNotFoundError, NotADirectoryError):
                found = False
            if found and read_lock(self._root, lock_path(name)):
                self._catalog.ask(lambda index: index.extras.set_locked(path))
                return Deleted.LOCKED
            if found:
                with opened_folder(self._root, name.parent) as folder:
                    unlink_if_there(uploaded_path(name).name, folder)
                    unlink_if_there(name.name, folder)
        self._catalog.ask(lambda index: index.extras.remove(path))
        return Deleted.DELETED if found else Deleted.NOT_FOUND

    def _keep_extra(self, written: Path, name: Callable[[int], PurePosixPath], *, dated: bool) -> str:
        facts = written.stat()
        path = str(self._scratch.keep(written, name))
        self._catalog.ask(lambda index: index.extras.put(path, made_at(path, facts), facts.st_size, dated=dated))
        return path

    def _existing(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(segment for segment in segments if self._catalog.still_there(segment.path))

    def _previous_end_s(self, run: SpoolRun, index: int) -> float | None:
        first = run.record.first_frame or run.record.spawned
        before = self._catalog.ask(lambda cache: cache.of_run(run.record.run.run_id, index - 1))
        return (_end(before) - first.wall).total_seconds() if before else None

    def _locked_bytes(self) -> int:
        return self._catalog.ask(lambda index: index.locked_bytes())

    def _lock_as_wanted(self, segment: Segment, window: LockWindow) -> Segment:
        """Lock a segment that lies in the window, unless that would exceed the window's quota."""
        if segment.uploaded and not segment.locked:
            return segment  # it may have been released for that
        quota_bytes = None if segment.locked else window.quota_bytes
        if quota_bytes is not None and self._locked_bytes() + segment.size_bytes > quota_bytes:
            return segment
        return self._locked_under(segment, window)

    def _locked_under(self, segment: Segment, window: LockWindow) -> Segment:
        if window.label in segment.lock_labels:
            return segment
        held = self._held(segment)
        labels = held if window.label in held else (*held, window.label)[-MAX_LABELS:]
        return self._write_lock(segment, labels, window.locked_at)

    def _unlocked(self, segment: Segment, label: str | None) -> Segment:
        left = () if label is None else tuple(one for one in self._held(segment) if one != label)
        return self._write_lock(segment, left, segment.started_at)

    def _held(self, segment: Segment) -> tuple[str, ...]:
        """The labels as the disk has them: somebody may have put a lock there by hand."""
        return read_lock(self._root, lock_path(PurePosixPath(segment.path)))

    def _write_lock(self, segment: Segment, labels: tuple[str, ...], at: datetime) -> Segment:
        """Make the `.lock` file say these labels; there is none without a label."""
        name = lock_path(PurePosixPath(segment.path))
        action = "lock" if labels else "unlock"
        with storage_errors(action, segment.path), opened_folder(self._root, name.parent) as folder:
            inode = write_lock(folder, name.name, labels, at) if labels else 0
            if not labels:
                unlink_if_there(name.name, folder)
        self._catalog.ask(lambda index: index.set_lock(segment.path, labels, inode))
        return replace(segment, lock_labels=labels)


def _stays(oldest: list[Candidate], going: set[str]) -> bool:
    """Whether something that may go was not needed, so that what lies behind these is not either."""
    return any(not candidate.locked and candidate.path not in going for candidate in oldest)


def _name(sealed: Sealed, serial: int) -> PurePosixPath:
    facts = sealed.metadata
    return segment_path(facts.camera, Profile(facts.width, facts.height, facts.fps), facts.started_at, serial)


def _end(segment: Segment) -> datetime:
    try:
        return segment.started_at + timedelta(seconds=segment.duration_s)
    except OverflowError:
        return segment.started_at
