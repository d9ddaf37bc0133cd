"""The live tap of one recording: JPEGs and fragmented MP4 from the recorder's UDP copy, while they are asked for.

    python -m edge_agent.media.tap --port P --fmp4-fd N

Binds UDP port P on loopback and waits there for the recorder, over its restarts. Lines on stdin say what is wanted
(`orders`); the end of stdin ends the program. stdout is a bare sequence of JPEGs, N is a pipe for tap frames
(`edge_agent.tapframes`). At 640x480@30 and 1.5 Mb/s a copy costs 1 % of a core and 10 JPEGs a second 5 %
(tests/bench/tap.py); nothing is decoded for a copy, and 0.5 % goes into reading while nothing is asked for.
"""

from __future__ import annotations

import argparse
import os
import selectors
import sys

import av

from edge_agent.media import child
from edge_agent.media.copier import Copier
from edge_agent.media.feed import TapFeed
from edge_agent.media.orders import Orders
from edge_agent.media.outlet import Outlet
from edge_agent.media.unit import Assembler, Unit
from edge_agent.media.viewing import JpegView

COPY_BACKLOG_BYTES = 4 * 1024 * 1024
"""Some seconds of a recording: a reader that is further behind misses pictures up to the next key frame."""

KEPT_UNITS = 600
"""How many pictures since the last key frame are kept for who comes next; with rarer key frames he has to wait."""

_PROBE = {
    # No statistics of the frame rate, which take 20 pictures: the copies go by timestamps, the JPEGs too.
    "fpsprobesize": "0",
    # Every PES packet of the recorder holds one picture. A parser would wait for the next one to be sure: 40 ms at 30
    # pictures a second.
    "fflags": "noparse",
}


class Tap:
    """What is wanted, where it goes, and the stream it comes from."""

    def __init__(self, port: int, fmp4_fd: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._feed = TapFeed(port, self._selector)
        # A JPEG is only taken when all before it are gone: the newest picture is the one worth sending.
        self._jpegs = Outlet(sys.stdout.fileno(), self._selector, 0)
        self._fragments = Outlet(fmp4_fd, self._selector, COPY_BACKLOG_BYTES)
        self._orders = Orders()
        self._line = b""
        os.set_blocking(sys.stdin.fileno(), False)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._hear)

    def serve(self) -> None:
        """One stream after another, until stdin ends or nobody reads."""
        while self._feed.begin():
            try:
                with av.open(self._feed, "r", format="mpegts", options=_PROBE) as container:
                    self._relay(container)
            except (av.error.FFmpegError, ValueError) as error:
                # A stream that ended before it said what it is, or no stream at all.
                print(f"tap: {error}", file=sys.stderr)

    def _relay(self, container: av.container.InputContainer) -> None:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        relay = Relay(stream, self._jpegs, self._fragments)
        assembler = Assembler()
        try:
            for packet in container.demux(stream):
                for unit in assembler.take(packet, self._feed.arrived_us(packet.pos)):
                    relay.write(unit, self._orders)
                if self._jpegs.gone and self._fragments.gone:
                    self._feed.end()
        finally:
            relay.close()

    def _hear(self) -> None:
        """Read what is on stdin."""
        try:
            data = os.read(sys.stdin.fileno(), 4096)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(sys.stdin.fileno())
            self._feed.end()
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            try:
                self._orders = self._orders.obey(line.decode("ascii", "replace"))
            except ValueError as error:
                print(f"tap: {error}", file=sys.stderr)


class Relay:
    """One stream of the recorder on its way to the two outlets."""

    def __init__(self, stream: av.VideoStream, jpegs: Outlet, fragments: Outlet) -> None:
        self._stream = stream
        self._jpegs = jpegs
        self._fragments = fragments
        self._view: JpegView | None = None
        self._copier: Copier | None = None
        self._kept: list[Unit] = []
        self._key_period_s: float | None = None

    def write(self, unit: Unit, orders: Orders) -> None:
        """Take the next unit. A new order begins with the last key frame, so that it need not wait for the next."""
        self._keep(unit)
        if orders.copy and self._copier is not None:
            self._copier.write(unit)
        elif orders.copy and self._kept:
            self._copier = Copier(self._stream, self._fragments.offer)
            for kept in self._kept:
                self._copier.write(kept)
        elif not orders.copy:
            self.close()
        if orders.jpeg is None:
            self._view = None
        elif self._view is not None and self._view.order == orders.jpeg:
            self._view.write(unit, self._key_period_s)
        elif self._kept:
            self._view = JpegView(self._stream, orders.jpeg, self._jpegs)
            self._view.catch_up(self._kept)

    def close(self) -> None:
        """End the copy."""
        if self._copier is not None:
            self._copier.close()
            self._copier = None

    def _keep(self, unit: Unit) -> None:
        if unit.key:
            if self._kept:
                self._key_period_s = unit.time_s - self._kept[0].time_s
            self._kept = [unit]
        elif self._kept:
            self._kept.append(unit)
        if len(self._kept) > KEPT_UNITS:
            self._kept = []


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="edge_agent.media.tap")
    parser.add_argument("--port", type=int, required=True, help="UDP port on loopback that the recorder sends to")
    parser.add_argument("--fmp4-fd", type=int, required=True, help="open file descriptor for the copied recording")
    options = parser.parse_args()
    child.run(lambda: Tap(options.port, options.fmp4_fd).serve())


if __name__ == "__main__":
    main()
