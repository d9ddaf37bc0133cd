"""Protection from retention: a `.lock` file beside each locked segment, and windows for footage not stored yet.

Whoever looks at the disk sees the `.lock` files; making or deleting one by hand works too. A segment may be locked
under several labels, and is free when the last of them is taken away. The windows are written down before any `.lock`,
so that a lock command is either done or will be completed at the next start.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge_agent.core.model import Code, Segment
from edge_agent.durable import make_folder, write_all, write_durably

MAX_WINDOWS = 256
"""Windows kept at a time, so that a client which locks every second does not grow the state file without end."""
WINDOW_REST = timedelta(hours=6)
"""How much newer than a window a stored segment must be until the window is forgotten.

Longer than any segment, and than a camera's footage may wait in the spool while the other camera's is stored.
"""
MAX_LABELS = MAX_WINDOWS
"""Labels that a segment is locked under at a time; of more, the newest count."""
MAX_LOCK_BYTES = 32 * 1024
"""More than a `.lock` file ever has."""


@dataclass(frozen=True, slots=True)
class LockWindow:
    """Footage of all cameras between two wall instants (None: open on that side), to be locked when it is stored.

    `quota_bytes` is what all locks together may hold, None for no limit. `locked_at` is when the command came.
    """

    start: datetime | None
    end: datetime | None
    label: str
    quota_bytes: int | None
    locked_at: datetime

    def covers(self, start: datetime, end: datetime) -> bool:
        """Whether footage from `start` to `end` overlaps the window."""
        return (self.end is None or start < self.end) and (self.start is None or end > self.start)


@dataclass(frozen=True, slots=True)
class LockOutcome:
    """What a lock command did.

    `code` is `ok`, `lock_quota` (nothing was locked) or `not_found` (no footage there, and none to come). `segments`
    are newly locked, oldest first; `already` counts those that were locked before, maybe under other labels. `pending`
    says that footage still being recorded will be locked when it is stored. `locked_bytes` is what all locks hold, or
    would hold.
    """

    code: Code
    segments: tuple[Segment, ...] = ()
    already: int = 0
    pending: bool = False
    locked_bytes: int = 0


class LockWindows:
    """The windows, as kept in the state directory. A file that cannot be read counts as no windows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.windows = _load(path)

    def add(self, window: LockWindow) -> None:
        """Raises `OSError`; then nothing was added."""
        self._replace([*self.windows, window][-MAX_WINDOWS:])

    def withdraw(self, label: str | None, start: datetime | None, end: datetime | None) -> None:
        """Take the span from `start` to `end` out of every window under `label` (None: under any)."""
        kept: list[LockWindow] = []
        for window in self.windows:
            if label is None or window.label == label:
                kept.extend(_without(window, start, end))
            else:
                kept.append(window)
        if kept != self.windows:
            self._replace(kept)

    def forget_before(self, stored: datetime) -> None:
        """Drop the windows whose footage must have been stored, now that footage from `stored` on comes in."""
        kept = [window for window in self.windows if window.end is None or window.end + WINDOW_REST > stored]
        if len(kept) != len(self.windows):
            self._replace(kept)

    def covering(self, segment: Segment) -> list[LockWindow]:
        """The windows of the lock commands that asked for this footage, in their order."""
        end = segment.started_at + timedelta(seconds=segment.duration_s)
        return [window for window in self.windows if window.covers(segment.started_at, end)]

    def _replace(self, windows: list[LockWindow]) -> None:
        document = {"v": 1, "windows": [_window_out(window) for window in windows]}
        make_folder(self._path.parent)
        write_durably(self._path, json.dumps(document, indent=1).encode())
        self.windows = windows


def write_lock(folder: int, name: str, labels: tuple[str, ...], at: datetime) -> int:
    """Put a `.lock` file with these labels beside a segment, in place of an older one; its inode. Raises `OSError`.

    At any instant the file is there, if it was before. Not synced: the window that was written down before outlives a
    power cut until long after this file did.
    """
    temporary = unfinished(name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o644, dir_fd=folder)
    try:
        document = {"v": 1, "label": labels[0], "labels": labels, "locked_at": _text(at)}
        write_all(descriptor, json.dumps(document).encode() + b"\n")
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)


def unfinished(name: str) -> str:
    """What a `.lock` file is called while it is written."""
    return f"{name}.tmp"


def lock_labels(content: bytes) -> tuple[str, ...]:
    """The labels in a `.lock` file, never none; an empty one for a file made by hand or torn."""
    try:
        document = json.loads(content[:MAX_LOCK_BYTES])
        found = document.get("labels", [document.get("label")])
    except (ValueError, AttributeError, RecursionError):
        return ("",)
    if not isinstance(found, list):
        return ("",)
    return tuple(" ".join(label.splitlines()) for label in found if isinstance(label, str)) or ("",)


def _without(window: LockWindow, start: datetime | None, end: datetime | None) -> list[LockWindow]:
    """What is left of a window outside the span: nothing, one or two windows."""
    left: list[LockWindow] = []
    if start is not None and (window.start is None or window.start < start):
        before = start if window.end is None else min(start, window.end)
        left.append(replace(window, end=before))
    if end is not None and (window.end is None or window.end > end):
        after = end if window.start is None else max(end, window.start)
        left.append(replace(window, start=after))
    return left


def _load(path: Path) -> list[LockWindow]:
    try:
        document = json.loads(path.read_bytes())
        return [_window_in(entry) for entry in document["windows"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _window_out(window: LockWindow) -> dict[str, Any]:
    return {key: _text(value) if isinstance(value, datetime) else value for key, value in asdict(window).items()}


def _window_in(document: dict[str, Any]) -> LockWindow:
    quota = document["quota_bytes"]
    return LockWindow(
        start=_instant(document["start"]) if document["start"] else None,
        end=_instant(document["end"]) if document["end"] else None,
        label=str(document["label"]),
        quota_bytes=int(quota) if quota is not None else None,
        locked_at=_instant(document["locked_at"]),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at.astimezone(UTC)
