from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.core.model import Now
from edge_agent.rpicam.source import PIPE_BYTES, FrameSource

PATIENCE_S = 20
START = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)


def jpeg(number: int, size: int = 300) -> bytes:
    """As small as a JPEG can be cut: a comment with a number in it, a scan, its end."""
    body = f"{number:06}".encode() + bytes(size)
    return b"\xff\xd8\xff\xfe\x00\x08" + body[:6] + b"\xff\xda\x00\x02" + body[6:] + b"\xff\xd9"


@dataclass
class Watcher:
    """Takes what a source hands on, reads a clock that ticks once per reading, and can be waited for."""

    frames: list[tuple[bytes, float]] = field(default_factory=list)
    ends: int = 0
    reads: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ticks: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def clock(self) -> Now:
        tick = next(self.ticks)
        self.reads = tick
        self.changed.set()
        return Now(float(tick), START + timedelta(seconds=tick))

    def on_frame(self, frame: bytes, captured: Now) -> None:
        self.frames.append((frame, captured.mono_s))
        self.changed.set()

    def on_end(self) -> None:
        self.ends += 1
        self.changed.set()

    def source(self, fd: int, limit_bytes: int = 1 << 20) -> FrameSource:
        return FrameSource(fd, self.on_frame, self.clock, self.on_end, limit_bytes)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


async def test_frames_of_a_child_come_out_whole_and_in_order_and_then_the_end(watcher: Watcher) -> None:
    expected = [jpeg(number, 200_000) for number in range(20)]
    program = (
        "import sys\n"
        "for n in range(20):\n"
        "    sys.stdout.buffer.write(b'\\xff\\xd8\\xff\\xfe\\x00\\x08%06d\\xff\\xda\\x00\\x02' % n + bytes(200000)"
        " + b'\\xff\\xd9')\n"
    )
    reading, writing = os.pipe()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=writing)
    os.close(writing)
    source = watcher.source(reading)
    await watcher.until(lambda: watcher.ends > 0)
    assert await child.wait() == 0
    assert [frame for frame, _ in watcher.frames] == expected
    assert watcher.ends == 1
    assert source.closed


async def test_a_frame_is_stamped_with_the_instant_at_which_it_began(watcher: Watcher) -> None:
    reading, writing = os.pipe()
    source = watcher.source(reading)
    picture = jpeg(1)
    for part in (picture[:10], picture[10:50], picture[50:] + picture + picture[:7], picture[7:]):
        watcher.reads = 0
        os.write(writing, part)
        await watcher.until(lambda: watcher.reads > 0)
    await watcher.until(lambda: len(watcher.frames) == 3)
    assert watcher.frames == [(picture, 1), (picture, 3), (picture, 3)]
    source.close()
    os.close(writing)


async def test_the_pipe_is_enlarged(watcher: Watcher) -> None:
    reading, writing = os.pipe()
    source = watcher.source(reading)
    assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == PIPE_BYTES
    source.close()
    os.close(writing)


async def test_after_closing_nothing_is_handed_on_and_the_writer_is_told(watcher: Watcher) -> None:
    reading, writing = os.pipe()
    source = watcher.source(reading)
    os.write(writing, jpeg(1))
    source.close()
    source.close()
    with pytest.raises(BrokenPipeError):
        os.write(writing, jpeg(2))
    os.close(writing)
    for _ in range(3):
        await asyncio.sleep(0)
    assert watcher.frames == []
    assert watcher.ends == 0


async def test_a_source_may_be_closed_by_who_gets_its_frame(watcher: Watcher) -> None:
    reading, writing = os.pipe()

    def on_frame(frame: bytes, captured: Now) -> None:
        source.close()
        watcher.on_frame(frame, captured)

    source = FrameSource(reading, on_frame, watcher.clock, watcher.on_end)
    os.write(writing, jpeg(1) + jpeg(2))
    await watcher.until(lambda: bool(watcher.frames))
    assert [frame for frame, _ in watcher.frames] == [jpeg(1)]
    os.close(writing)


async def test_floods_are_told_once_and_frames_around_them_come_out(
    watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    reading, writing = os.pipe()
    watcher.source(reading, limit_bytes=1000)
    flood = jpeg(2, 5000)[:4000] + b"\xff\xff"
    os.write(writing, jpeg(1) + flood + jpeg(3) + flood + jpeg(4))
    await watcher.until(lambda: len(watcher.frames) == 3)
    assert [frame for frame, _ in watcher.frames] == [jpeg(1), jpeg(3), jpeg(4)]
    assert len(caplog.records) == 1
    os.close(writing)
    await watcher.until(lambda: watcher.ends > 0)


async def test_a_frame_that_was_cut_by_the_end_is_not_handed_on(watcher: Watcher) -> None:
    reading, writing = os.pipe()
    watcher.source(reading)
    os.write(writing, jpeg(1) + jpeg(2)[:-1])
    os.close(writing)
    await watcher.until(lambda: watcher.ends > 0)
    assert [frame for frame, _ in watcher.frames] == [jpeg(1)]
