"""The archive's file names, built and parsed in one place, and the rule that dates a segment.

Names are UTC to the second. They order nothing: a clock that stepped back yields older names for newer footage.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from edge_agent.core.model import NAME_PATTERN, Profile, is_name

_STAMP = r"\d{8}T\d{6}Z"
_SERIAL = r"(?:-(?P<serial>[1-9]\d{0,5}))?"
_SIZE = r"[1-9]\d{1,4}x[1-9]\d{1,4}"
_SEGMENT = re.compile(
    rf"(?P<size>{_SIZE})/(?P<camera>{NAME_PATTERN})/blackbox_(?P=camera)_(?P<short>[0-9a-z]+)_(?P<stamp>{_STAMP}){_SERIAL}\.mp4",
    re.ASCII,
)
_SNAPSHOT = re.compile(
    rf"snapshots/(?P<camera>{NAME_PATTERN})/blackbox_(?P=camera)_(?P<stamp>{_STAMP}){_SERIAL}\.jpg", re.ASCII
)
_CLIP = re.compile(
    rf"clips/blackbox_(?P<camera>{NAME_PATTERN})_(?P<stamp>{_STAMP})_(?P<end>{_STAMP}){_SERIAL}\.mp4", re.ASCII
)
_RUN_ID = re.compile(rf"(?P<stamp>{_STAMP})-(?P<sequence>\d{{6,12}})-(?P<camera>{NAME_PATTERN})", re.ASCII)

DISTRUST_S = 2.0
"""How far the stream's clock may be ahead of the monotonic one before it is no longer believed.

rpicam-vid from 1.8 on stamps frames from the wall clock, so a forward step stretches the stream by as much (a backward
step ends the recorder). The stream may be behind: frames wait in the recorder's queue while the disk stalls.
"""


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What a segment's path says: `started_at` in UTC to the second, `serial` 0 unless the name was taken."""

    camera: str
    width: int
    height: int
    started_at: datetime
    serial: int = 0


@dataclass(frozen=True, slots=True)
class RunName:
    """What a run id says, for a spool directory whose record was lost."""

    run_id: str
    started_at: datetime
    sequence: int
    camera: str


def segment_path(camera: str, profile: Profile, started_at: datetime, serial: int = 0) -> PurePosixPath:
    """Where a segment is stored, relative to the root: `640x480/cam0/blackbox_cam0_640_20261123T091500Z.mp4`.

    `started_at` is aware. A `serial` above 0 tells apart segments that would share the name: `...Z-1.mp4`.
    """
    name = f"blackbox_{camera}_{profile.short}_{_stamp(started_at)}{_suffix(serial)}.mp4"
    return PurePosixPath(profile.folder, camera, name)


def parse_segment_path(path: str | PurePosixPath) -> SegmentName | None:
    """The inverse of `segment_path`: None for every path that it would not build."""
    match = _SEGMENT.fullmatch(str(path))
    if match is None or not is_name(match["camera"]):
        return None
    started_at = _instant(match["stamp"])
    width, height = (int(part) for part in match["size"].split("x"))
    if started_at is None or Profile(width, height, fps=0).short != match["short"]:
        return None
    return SegmentName(match["camera"], width, height, started_at, int(match["serial"] or 0))


def thumbnail_path(segment: PurePosixPath) -> PurePosixPath:
    """Where a segment's thumbnail lies."""
    return segment.with_suffix(".jpg")


def lock_path(segment: PurePosixPath) -> PurePosixPath:
    """Where the file lies whose presence protects a segment from retention."""
    return segment.with_suffix(".lock")


def uploaded_path(file: PurePosixPath) -> PurePosixPath:
    """Where the file lies whose presence says that this segment or clip has been sent elsewhere, whole."""
    return file.with_suffix(".uploaded")


def snapshot_path(camera: str, at: datetime, serial: int = 0) -> PurePosixPath:
    """Where a snapshot is stored: `snapshots/cam0/blackbox_cam0_20261123T091500Z.jpg`."""
    return PurePosixPath("snapshots", camera, f"blackbox_{camera}_{_stamp(at)}{_suffix(serial)}.jpg")


def parse_snapshot_path(path: str) -> tuple[str, datetime] | None:
    """The camera and the instant in a snapshot's path; None for anything else."""
    match = _SNAPSHOT.fullmatch(path)
    at = _instant(match["stamp"]) if match else None
    return None if match is None or at is None else (match["camera"], at)


def clip_path(camera: str, start: datetime, end: datetime, serial: int = 0) -> PurePosixPath:
    """Where a clip is stored: `clips/blackbox_cam0_20261123T091500Z_20261123T092000Z.mp4`."""
    return PurePosixPath("clips", f"blackbox_{camera}_{_stamp(start)}_{_stamp(end)}{_suffix(serial)}.mp4")


def is_extra_path(path: str) -> bool:
    """Whether `path` may name a snapshot or a clip."""
    match = _SNAPSHOT.fullmatch(path)
    return parse_clip_path(path) is not None or (
        match is not None and is_name(match["camera"]) and _instant(match["stamp"]) is not None
    )


def parse_clip_path(path: str) -> str | None:
    """The camera in a clip's path; None for anything else."""
    match = _CLIP.fullmatch(path)
    return match["camera"] if match and is_name(match["camera"]) and _instant(match["stamp"]) else None


def is_archive_path(path: str) -> bool:
    """Whether `path`, relative to the root, may name a segment, a thumbnail, a snapshot or a clip."""
    if path.endswith(".jpg") and parse_segment_path(path.removesuffix(".jpg") + ".mp4") is not None:
        return True
    if parse_segment_path(path) is not None:
        return True
    return is_extra_path(path)


def parse_run_id(run_id: str) -> RunName | None:
    """Read a run id such as `20261123T091500Z-000042-cam0`; None for anything else."""
    match = _RUN_ID.fullmatch(run_id)
    started_at = _instant(match["stamp"]) if match else None
    if match is None or started_at is None or not is_name(match["camera"]):
        return None
    return RunName(run_id, started_at, int(match["sequence"]), match["camera"])


def start_offset_s(list_start_s: float | None, previous_end_s: float | None, seen_s: float | None) -> float:
    """Seconds from a run's first frame to a segment's first frame; all arguments count from there, None if unknown.

    `list_start_s` is the stream offset of the recorder's segment list, `previous_end_s` the end of the segment before:
    either is exact while the frames' clock is steady. `seen_s` is when a live agent first saw the segment's file, on
    the monotonic clock: it cannot have begun later. The first offset that this does not contradict by more than
    `DISTRUST_S` is believed, else `seen_s` itself.
    """
    latest_s = math.inf if seen_s is None else max(0.0, seen_s)
    for offset_s in (list_start_s, previous_end_s):
        if offset_s is not None and math.isfinite(offset_s) and offset_s <= latest_s + DISTRUST_S:
            return max(0.0, offset_s)
    return latest_s if math.isfinite(latest_s) else 0.0


def believed_duration_s(media_s: float, offset_s: float, gone_s: float | None) -> float:
    """How long a segment lasted: what its samples say, unless it was closed long before that could have passed.

    `gone_s` is the first look, in seconds since the run's first frame, at which the segment was closed; None means that
    nobody saw it close. A forward step of the wall clock makes one sample as long as the step.
    """
    if gone_s is None or offset_s + media_s <= gone_s + DISTRUST_S:
        return media_s
    return max(0.0, gone_s - offset_s)


def start_instant(first_frame_at: datetime, offset_s: float) -> datetime:
    """The wall instant of a segment's first frame; held within what a date can say."""
    try:
        return first_frame_at.astimezone(UTC) + timedelta(seconds=offset_s)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _stamp(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc.year:04d}{utc:%m%dT%H%M%SZ}"


def _instant(stamp: str) -> datetime | None:
    # Ten times as fast as strptime, which matters with 100,000 names at every start.
    year, month, day = int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])
    hour, minute, second = int(stamp[9:11]), int(stamp[11:13]), int(stamp[13:15])
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _suffix(serial: int) -> str:
    return f"-{serial}" if serial else ""
