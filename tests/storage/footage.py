"""Footage for tests: real segments from ffmpeg, and ones put together box by box, which are made in microseconds."""

from __future__ import annotations

import struct
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.core.model import Now, ProcessIdentity, Profile, Purpose, Run, RunRecord, Session
from edge_agent.storage.archive import Archive
from edge_agent.storage.spool import Spool, SpooledSegment, SpoolRun

AT = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
MONO_S = 1000.0
TIMESCALE = 30_000
TICK = 1000  # of one frame at 30 fps


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, flags: int, *content: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def moov(width: int = 640, height: int = 480, timescale: int = TIMESCALE) -> bytes:
    tkhd = full(b"tkhd", 3, u32(0, 0, 1, 0, 0, 0, 0, 0, 0), bytes(36), u32(width << 16, height << 16))
    mdhd = full(b"mdhd", 0, u32(0, 0, timescale, 0, 0))
    hdlr = full(b"hdlr", 0, u32(0), b"vide", bytes(12), b"\0")
    trex = full(b"trex", 0, u32(1, 1, TICK, 100, 0))
    return box(b"moov", box(b"trak", tkhd, box(b"mdia", mdhd, hdlr)), box(b"mvex", trex))


def fragment(start_ticks: int, sizes: list[int], durations: list[int] | None = None) -> bytes:
    """A moof and its mdat; without `durations` the default of one frame counts."""
    ticks = durations or []
    flags = 0x200 | (0x100 if ticks else 0)
    samples = b"".join(u32(ticks[i], size) if ticks else u32(size) for i, size in enumerate(sizes))
    traf = box(
        b"traf",
        full(b"tfhd", 0x020000, u32(1)),
        full(b"tfdt", 0, struct.pack(">Q", start_ticks), version=1),
        full(b"trun", flags, u32(len(sizes)), samples),
    )
    return box(b"moof", full(b"mfhd", 0, u32(1)), traf) + box(b"mdat", bytes(sum(sizes)))


def segment(seconds: int = 2, *, width: int = 640, height: int = 480, sample_bytes: int = 50) -> bytes:
    """A whole segment with one fragment of 30 frames per second of footage."""
    parts = [box(b"ftyp", b"isom", u32(512)), moov(width, height)]
    parts += [fragment(second * 30 * TICK, [sample_bytes] * 30) for second in range(seconds)]
    return b"".join(parts)


def as_asked(content: bytes) -> bytes:
    """A recorded segment that says it shows 640x480, as `run_record` asks for, whatever ffmpeg drew."""
    return content.replace(b"\x01\x40\x00\x00\x00\xf0\x00\x00", b"\x02\x80\x00\x00\x01\xe0\x00\x00")


def record_segment(path: Path, seconds: float = 3.0, frames_per_fragment: int = 30) -> Path:
    """Record a test picture with ffmpeg by the muxer options that the recorder is given."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-f", "lavfi"]
    command += ["-i", f"testsrc=size=320x240:rate=30:duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(frames_per_fragment)]
    command += ["-f", "mp4", "-movflags", "+frag_keyframe+delay_moov+default_base_moof", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def now(seconds: float = 0.0) -> Now:
    """The instant `seconds` after the first frame of every run here."""
    return Now(MONO_S + seconds, AT + timedelta(seconds=seconds))


def run_record(
    sequence: int = 1,
    camera: str = "cam0",
    *,
    first: Now | None = None,
    label: str | None = None,
    boot_id: str = "boot-a",
) -> RunRecord:
    first = first or now()
    run_id = f"{first.wall:%Y%m%dT%H%M%SZ}-{sequence:06d}-{camera}"
    run = Run(run_id, sequence, camera, Purpose.RECORD, Profile(640, 480, 30, 2_000_000), "dual-640")
    session = Session("session-1", "dual-640", ("cam0", "cam1"), 0, 0.0, label, first)
    return RunRecord(run, session, ("rpicam-vid", "-t", "0"), first, ProcessIdentity(4321, 99, boot_id), first)


def spool_segment(
    run: SpoolRun, index: int, content: bytes | None = None, start_s: float | None = None
) -> SpooledSegment:
    """A segment file in the run's directory, as the spool would describe it after a start: 2 s long by default."""
    path = run.directory / f"{index:06d}.mp4"
    path.write_bytes(segment() if content is None else content)
    return SpooledSegment(index, path, list_start_s=2.0 * index if start_s is None else start_s)


def store(root: Path, archive: Archive, record: RunRecord, count: int, content: bytes | None = None) -> list[str]:
    """Spool and commit `count` segments of 2 s in a run of its own; their paths."""
    run = Spool(root).create(record)
    paths: list[str] = []
    for index in range(count):
        stored = archive.commit(run, spool_segment(run, index, content))
        assert stored is not None
        paths.append(stored.path)
    assert run.remove()
    return paths
