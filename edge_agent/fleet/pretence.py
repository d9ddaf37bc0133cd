"""A pretended outside for simulated devices: cameras that run, segments that are stored, jobs that are done.

It does to the core what the real outside does, by the same events, and touches no camera and no disk. Everything
happens by timers of the event loop, so that a thousand devices need no task of their own for it.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from edge_agent.core import events as ev
from edge_agent.core.commands import Clip, Command, Lock, Snapshot, Unlock
from edge_agent.core.model import Code, EventType, Now, Profile, Purpose, Run, RunRecord, Segment, Session
from edge_agent.core.segments import clip_path, segment_path, snapshot_path, start_instant
from edge_agent.ports import Clock, Post
from edge_agent.wire.locking import locked_answer, unlocked_answer

FIRST_FRAME_S = (0.3, 1.2)
"""What real cameras take."""
STOP_S = (0.05, 0.4)
BEAT_S = 4.0
"""How often a running camera shows that it lives: well below the silence that counts as a fault, and cheap."""
JOB_S = (0.05, 0.5)
SEGMENTS_KEPT = 200
"""What a device's pretended archive remembers: three hours of one camera, 60 kB."""
LIVE_BPS = 12_000_000
PICTURE = base64.b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD//gAQTGF2YzU5LjM3LjEwMAD/2wBDAAg+Pkk+SVVVVVVVVWRdZGhoaGRkZGRoaGhwcHCDg4Nw"
    "cHBoaGhwcHyDg4+Tj4eHg4eTk5ubm7q6srLZ2eD/////xABKAAEAAAAAAAAAAAAAAAAAAAAAAQEAAAAAAAAAAAAAAAAAAAAAEAEA"
    "AAAAAAAAAAAAAAAAAAAAEQEAAAAAAAAAAAAAAAAAAAAA/8AAEQgAEAAQAwEiAAIRAAMRAP/aAAwDAQACEQMRAD8AAA//2Q=="
)
"""A grey JPEG of 16x16 pixels."""

Report = Callable[[EventType, dict[str, Any]], None]


def _chance(between: tuple[float, float]) -> float:
    return random.uniform(*between)  # noqa: S311 - spreads what a fleet does, no secret


class Footage:
    """The segments that a simulated device says it has; the oldest unlocked are forgotten first."""

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque()

    @property
    def figures(self) -> dict[str, Any]:
        """The telemetry's `recordings`."""
        return {
            "count": len(self._segments),
            "bytes": sum(segment.size_bytes for segment in self._segments),
            "extra_bytes": 0,
            "locked_bytes": sum(segment.size_bytes for segment in self._segments if segment.locked),
            "oldest_at": self._segments[0].started_at if self._segments else None,
        }

    def add(self, segment: Segment) -> str | None:
        """Store a segment; the path of the one that had to go for it."""
        self._segments.append(segment)
        if len(self._segments) <= SEGMENTS_KEPT:
            return None
        gone = next((one for one in self._segments if not one.locked), self._segments[0])
        self._segments.remove(gone)
        return gone.path

    def window(self, camera: str | None, start: datetime, end: datetime) -> list[Segment]:
        """Segments that overlap the window, oldest first."""
        return [
            one
            for one in self._segments
            if camera in (None, one.camera)
            and one.started_at < end
            and one.started_at + timedelta(seconds=one.duration_s) > start
        ]

    def relabel(
        self, segments: Sequence[Segment], change: Callable[[tuple[str, ...]], tuple[str, ...]]
    ) -> list[Segment]:
        """Lock segments under other labels than before, under none release them; the segments as they are now."""
        changed = {one.path: replace(one, lock_labels=change(one.lock_labels)) for one in segments}
        self._segments = deque(changed.get(one.path, one) for one in self._segments)
        return list(changed.values())


@dataclass(slots=True)
class _Life:
    """One run of a pretended camera program."""

    run: Run
    session: Session | None
    spawned: Now
    timer: asyncio.TimerHandle
    first: Now | None = None
    index: int = 0
    segment_began: Now | None = None


class PretendedRuns:
    """Implements `ports.Runs`. Survives a restart of its agent, as real recorders do: `post` may be changed."""

    def __init__(self, clock: Clock, footage: Footage, report: Report, segment_s: float) -> None:
        self.post: Post = lambda _: None
        self._clock = clock
        self._footage = footage
        self._report = report
        self._segment_s = segment_s
        self._beat_s = min(BEAT_S, segment_s)
        self._loop = asyncio.get_running_loop()
        self._lives: dict[str, _Life] = {}

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """The recordings that go on, as the next agent finds them."""
        return tuple(
            RunRecord(life.run, life.session, (), life.spawned, None, life.first)
            for life in self._lives.values()
            if life.session is not None
        )

    @property
    def bit_rates(self) -> dict[str, int]:
        """What each running camera delivers, in bits a second."""
        return {life.run.camera: _bit_rate_bps(life.run.profile) for life in self._lives.values() if life.first}

    def start(self, run: Run, session: Session | None) -> None:
        timer = self._loop.call_later(_chance(FIRST_FRAME_S), self._begin, run.run_id)
        self._lives[run.run_id] = _Life(run, session, self._clock.now(), timer)

    def stop(self, run_id: str) -> None:
        life = self._lives.get(run_id)
        if life is not None:
            life.timer.cancel()
            life.timer = self._loop.call_later(_chance(STOP_S), self._end, run_id)

    def update(self, session: Session) -> None:
        for life in self._lives.values():
            if life.session is not None:
                life.session = session

    def close(self) -> None:
        """Let no timer call any more."""
        for life in self._lives.values():
            life.timer.cancel()
        self._lives.clear()

    def _begin(self, run_id: str) -> None:
        life = self._lives[run_id]
        now = life.first = self._clock.now()
        self.post(ev.FirstFrame(life.run.camera, run_id, now))
        if life.run.purpose is Purpose.RECORD:
            self._open_segment(life, now)
        self._beat(run_id)

    def _beat(self, run_id: str) -> None:
        life = self._lives.get(run_id)
        if life is None:
            return
        life.timer = self._loop.call_later(self._beat_s, self._beat, run_id)
        self.post(ev.BytesSeen(life.run.camera, run_id))
        now = self._clock.now()
        if life.segment_began is not None and now.mono_s - life.segment_began.mono_s >= self._segment_s:
            self._store_segment(life, now)
            self._open_segment(life, now)

    def _end(self, run_id: str) -> None:
        life = self._lives.pop(run_id)
        self.post(ev.RunEnded(life.run.camera, run_id, ev.Cause.STOPPED, "stopped"))
        if life.run.purpose is Purpose.RECORD:
            self._store_segment(life, self._clock.now())
            self.post(ev.RunClosed(run_id))

    def _open_segment(self, life: _Life, now: Now) -> None:
        life.segment_began = now
        path = segment_path(life.run.camera, life.run.profile, now.wall)
        self.post(ev.SegmentOpened(life.run.camera, life.run.run_id, str(path)))

    def _store_segment(self, life: _Life, now: Now) -> None:
        began, run = life.segment_began, life.run
        if began is None or now.mono_s <= began.mono_s:
            return
        duration_s = now.mono_s - began.mono_s
        segment = Segment(
            path=str(segment_path(run.camera, run.profile, began.wall)),
            camera=run.camera,
            mode=run.mode,
            run_id=run.run_id,
            sequence=run.sequence,
            index=life.index,
            started_at=began.wall,
            duration_s=round(duration_s, 3),
            size_bytes=round(duration_s * _bit_rate_bps(run.profile) / 8),
            width=run.profile.width,
            height=run.profile.height,
            label=life.session.label if life.session else None,
            lock_labels=(),
        )
        life.index += 1
        life.segment_began = None
        gone = self._footage.add(segment)
        self.post(ev.SegmentStored(segment))
        self.post(ev.FootageVerified(run.camera, run.run_id, start_instant(began.wall, duration_s)))
        if gone is not None:
            self._report(EventType.SEGMENT_DELETED, {"camera": run.camera, "path": gone})


class PretendedJobs:
    """Implements `ports.Jobs`. `show` publishes a camera's picture."""

    def __init__(
        self,
        cameras: Sequence[str],
        clock: Clock,
        footage: Footage,
        report: Report,
        show: Callable[[str, bytes], None],
    ) -> None:
        self.post: Post = lambda _: None
        self._cameras = cameras
        self._clock = clock
        self._footage = footage
        self._report = report
        self._show = show
        self._loop = asyncio.get_running_loop()

    def do(self, command: Command) -> None:
        self._loop.call_later(_chance(JOB_S), self._do, command)

    def compare(self, cameras: tuple[str, ...], _run_ids: frozenset[str]) -> None:
        path = str(snapshot_path("comparison", self._clock.now().wall))
        self._report(EventType.SNAPSHOT_TAKEN, {"camera": None, "cameras": list(cameras), "path": path})

    def _do(self, command: Command) -> None:
        match command.body:
            case Snapshot(camera):
                code, told, data = self._snapshot([camera] if camera else self._cameras)
            case Lock():
                code, told, data = self._lock(command.body)
            case Unlock(label, start, end):
                code, told, data = self._unlock(label, start, end)
            case Clip(camera, start, end):
                code, told, data = self._clip(camera, start, end)
            case _:
                code, told, data = Code.INTERNAL, f"no job for {command.verb}", {}
        self.post(ev.JobDone(command.id, code, told, data))

    def _snapshot(self, cameras: Sequence[str]) -> tuple[Code, str, dict[str, Any]]:
        now = self._clock.now().wall
        taken = {camera: str(snapshot_path(camera, now)) for camera in cameras}
        for camera, path in taken.items():
            self._show(camera, PICTURE)
            self._report(EventType.SNAPSHOT_TAKEN, {"camera": camera, "path": path})
        snapshots = {
            camera: {"path": path, "url": f"/recordings/{path}", "bytes": len(PICTURE)}
            for camera, path in taken.items()
        }
        return Code.OK, f"one picture of {', '.join(cameras)} (simulated)", {"snapshots": snapshots}

    def _lock(self, body: Lock) -> tuple[Code, str, dict[str, Any]]:
        now = self._clock.now().wall
        start, end = body.window(now)
        found, label = self._footage.window(None, start, end), body.label or ""
        fresh = [segment for segment in found if not segment.locked]
        self._footage.relabel(found, lambda held: held if label in held else (*held, label))
        for segment in fresh:
            self._report(EventType.SEGMENT_LOCKED, {"camera": segment.camera, "path": segment.path})
        if not found:
            return Code.NOT_FOUND, "no footage lies in this window (simulated)", {}
        told, data = locked_answer(body, now, fresh, already=len(found) - len(fresh), pending=False)
        return Code.OK, f"{told} (simulated)", data

    def _unlock(
        self, label: str | None, start: datetime | None, end: datetime | None
    ) -> tuple[Code, str, dict[str, Any]]:
        earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        held = [
            segment
            for segment in self._footage.window(None, start or earliest, end or latest)
            if segment.locked and (label is None or label in segment.lock_labels)
        ]
        touched = self._footage.relabel(held, lambda labels: tuple(one for one in labels if label not in (None, one)))
        told, data = unlocked_answer(touched)
        return Code.OK, f"{told} (simulated)", data

    def _clip(self, camera: str, start: datetime, end: datetime) -> tuple[Code, str, dict[str, Any]]:
        if not self._footage.window(camera, start, end):
            told = f"{camera} has no footage between {start:%FT%TZ} and {end:%FT%TZ} (simulated)"
            return Code.NOT_FOUND, told, {}
        path = str(clip_path(camera, start, end))
        self._report(EventType.CLIP_READY, {"camera": camera, "path": path, "url": f"/recordings/{path}"})
        data = {"path": path, "url": f"/recordings/{path}", "unreadable": 0}
        return Code.OK, f"a clip of {camera} at /recordings/{path} (simulated)", data


class PretendedVitals:
    """Figures that a rule can react to: a disk that fills while recording and a processor that gets warm."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._total_bytes = 64_000_000_000
        self._others_bytes = random.randrange(20_000_000_000)  # noqa: S311 - makes devices differ, no secret
        self._room_c = _chance((38.0, 55.0))

    def values(
        self, bit_rates: Mapping[str, int], cameras: Sequence[str], recordings: dict[str, Any]
    ) -> dict[str, Any]:
        """The telemetry document's values."""
        busy = len(bit_rates)
        free_bytes = max(0, self._total_bytes - self._others_bytes - recordings["bytes"])
        rate_bps = sum(bit_rates.values())
        uptime_s = self._clock.now().mono_s - self._began.mono_s
        return {
            "cpu_percent": round(3 + 22 * busy + _chance((0, 4)), 1),
            "load_1m": round(0.1 + 0.8 * busy, 2),
            "memory_percent": 18.5,
            "memory_available_bytes": 3_200_000_000,
            "temperature_c": round(self._room_c + 6 * busy + _chance((-0.5, 0.5)), 1),
            "under_voltage": False,
            "throttled": False,
            "uptime_s": uptime_s,
            "clock_synchronized": True,
            "disk": {
                "free_bytes": free_bytes,
                "total_bytes": self._total_bytes,
                "used_percent": round(100 * (1 - free_bytes / self._total_bytes), 1),
                "write_bps": rate_bps,
                "sync_ms": 4.0,
                "recording_hours_left": round(free_bytes * 8 / (rate_bps or 3_000_000) / 3600, 1),
            },
            "recordings": recordings,
            "agent": {"cpu_percent": 1.0, "rss_bytes": 45_000_000, "uptime_s": uptime_s},
            "cameras": {
                camera: {
                    "fps": 30.0 if camera in bit_rates else 0.0,
                    "bitrate_bps": bit_rates.get(camera, 0),
                    "viewers": 0,
                    "dropped_frames": 0,
                }
                for camera in cameras
            },
        }


def _bit_rate_bps(profile: Profile) -> int:
    return profile.bitrate_bps or LIVE_BPS
