"""Live pictures of cameras that are being recorded: one tap child per camera, for as long as somebody watches.

The child reads the recorder's loopback copy; the recorder does not know of it. A child exists while its camera is
recorded and pictures or fragments are wanted, and is told by lines on its stdin what to send (media/orders.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from edge_agent.children import child_argv
from edge_agent.core.model import Now, Profile
from edge_agent.ports import Clock
from edge_agent.rpicam.source import FrameSource
from edge_agent.tapframes import BadFraming, TapFrame, TapFrames

RETRY_S = 2.0
"""A tap that ends by itself is started again after about this time, as long as it is wanted."""
READ_BYTES = 256 * 1024
LEAVE_S = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taps:
    """What all taps share. `publish` gets a camera's JPEG, `relay` its tap frames (None: the stream is over)."""

    ports: Mapping[str, int]
    clock: Clock
    publish: Callable[[str, bytes, Now], None]
    relay: Callable[[str, TapFrame | None], None]


class Tapping:
    """One camera's tap. `run` is its eternal task; the three setters may be called at any time on the loop."""

    def __init__(self, camera: str, taps: Taps, profile: Profile) -> None:
        self._camera = camera
        self._taps = taps
        self._profile = profile
        self._recorded = False
        self._pictures = False
        self._fragments = False
        self._changed = asyncio.Event()

    def recorded(self, yes: bool) -> None:
        """Whether the camera is being recorded now."""
        self._set("_recorded", yes)

    def pictures(self, yes: bool) -> None:
        """Whether somebody wants JPEGs."""
        self._set("_pictures", yes)

    def fragments(self, yes: bool) -> None:
        """Whether somebody wants the recording's own H.264."""
        self._set("_fragments", yes)

    def profile(self, profile: Profile) -> None:
        """Another size, rate or quality of the JPEGs; nobody is disconnected."""
        self._profile = profile
        self._changed.set()

    async def run(self) -> None:
        """Keep a tap while it is wanted. Never returns."""
        while True:
            await self._until(wanted=True)
            try:
                await self._tap()
            except (OSError, BadFraming) as error:
                log.warning("tap failed: camera=%s error=%s", self._camera, error)
            if self._wanted:
                await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries

    def _set(self, name: str, value: bool) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self._changed.set()

    @property
    def _wanted(self) -> bool:
        return self._recorded and (self._pictures or self._fragments)

    async def _until(self, *, wanted: bool) -> None:
        while self._wanted != wanted:
            self._changed.clear()
            await self._changed.wait()

    async def _tap(self) -> None:
        """One life of the child."""
        with ExitStack() as writing, ExitStack() as reading:
            jpeg_end, jpeg_write = _pipe(reading, writing)
            fragment_end, fragment_write = _pipe(reading, writing)
            process = await asyncio.create_subprocess_exec(
                *child_argv(
                    "media.tap", ["--port", str(self._taps.ports[self._camera]), "--fmp4-fd", str(fragment_write)]
                ),
                stdin=PIPE,
                stdout=jpeg_write,
                pass_fds=(fragment_write,),
            )
            reading.pop_all()  # the readers close them
        source = FrameSource(jpeg_end, self._take, self._taps.clock.now, lambda: None)
        reader = _FragmentReader(fragment_end, lambda frame: self._taps.relay(self._camera, frame))
        log.info("tap started camera=%s pid=%d", self._camera, process.pid)
        try:
            await self._direct(process)
        finally:
            source.close()
            reader.close()
            await _end(process)
            self._taps.relay(self._camera, None)
            log.info("tap ended camera=%s", self._camera)

    async def _direct(self, process: Process) -> None:
        """Tell the child what is wanted until nothing is, or it has gone."""
        gone = asyncio.ensure_future(process.wait())  # noqa: TID251 - ends with the child, awaited by `_end`
        try:
            while self._wanted and not gone.done():
                self._changed.clear()
                self._order(process)
                change = asyncio.ensure_future(self._changed.wait())  # noqa: TID251 - cancelled two lines on
                await asyncio.wait({gone, change}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
        finally:
            gone.cancel()

    def _order(self, process: Process) -> None:
        if process.stdin is None or process.stdin.is_closing():
            return
        profile = self._profile
        jpeg = f"jpeg {profile.fps} {profile.width} {profile.quality}" if self._pictures else "jpeg off"
        process.stdin.write(f"{jpeg}\ncopy {'on' if self._fragments else 'off'}\n".encode())

    def _take(self, jpeg: bytes, captured: Now) -> None:
        if self._recorded:
            self._taps.publish(self._camera, jpeg, captured)


class _FragmentReader:
    """The reading end of the tap's second pipe."""

    def __init__(self, fd: int, take: Callable[[TapFrame], None]) -> None:
        self._fd = fd
        self._take = take
        self._frames = TapFrames()
        os.set_blocking(fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._readable)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        try:
            chunk = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self.close()
            return
        try:
            frames = self._frames.feed(chunk)
        except BadFraming as error:
            log.warning("tap sends no frames: %s", error)
            self.close()
            return
        for frame in frames:
            self._take(frame)


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """A pipe whose two ends are closed with these. Raises `OSError`."""
    read_end, write_end = os.pipe()
    reading.callback(os.close, read_end)
    writing.callback(os.close, write_end)
    return read_end, write_end


async def _end(process: Process) -> None:
    """Close the child's stdin, which ends it; kill it if it stays. Always reaped."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(LEAVE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
