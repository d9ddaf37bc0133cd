"""One connection that watches a camera: what it gets, what it misses, and how it is noticed to have gone.

At most one part is under way to a viewer, and nothing is queued for it: while a part is unfinished, newer frames are
skipped and counted, and then the newest one follows. `SocketViewer` writes to the socket itself; `StreamViewer` in
`stream.py` writes through Tornado, for TLS.
"""

from __future__ import annotations

import asyncio
import os
import socket
from abc import ABC, abstractmethod
from typing import Protocol

from edge_agent.web.part import CLOSING, Part

GONE_AFTER_MS = 8000
"""How long the kernel lets sent bytes go unacknowledged, or a full reader not read, before it gives the connection up.

It looks again only when it repeats itself, about half a second later: within 10 s all together.
"""
UNSENT_BYTES = 128 * 1024
"""How much the kernel may hold unsent for a viewer, or one frame if that is more.

The default lets megabytes of old frames pile up before a slow viewer, who would see what was seconds ago.
"""
_IDLE_S, _PROBE_S = 4, 2
_EARLY = 0.25
"""By how much of its interval a frame may come early: cameras are not exact, and a skipped frame is seen."""


def prepare(connection: socket.socket, gone_after_ms: int = GONE_AFTER_MS) -> None:
    """Set what a live connection needs: no delay, little held unsent, and an end when the other side has vanished."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, gone_after_ms)
    # While no frames are due nothing is sent, so nothing would be missed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)


class Hub(Protocol):
    """What a viewer knows of the live view that it belongs to."""

    @property
    def newest(self) -> Part | None:
        """The part that is sent now."""

    @property
    def audience(self) -> Table:
        """Where prompt viewers and others stand."""

    def leave(self, viewer: Viewer) -> None:
        """Forget `viewer`, whose connection has ended."""


class Table(Protocol):
    def sort(self, viewer: Viewer) -> None:
        """Put `viewer` where it belongs now."""


class Viewer(ABC):
    """What the hub knows of a viewer. Call from the event loop only.

    `dropped` counts the frames that it missed because it was too slow for them; those that its `fps` (None: every
    frame) leaves out do not count.
    """

    def __init__(self, fps: float | None = None) -> None:
        self.dropped = 0
        self._own_interval_s = self._interval_s = 1 / fps if fps else 0.0
        self._due_s = float("-inf")
        self._missed = False
        self._part: Part | None = None  # the one under way
        self._hub: Hub | None = None

    def begin(self, hub: Hub, interval_s: float) -> None:
        """Belong to a hub, which is told once when the connection has ended; `interval_s` as for `limit`."""
        self._hub = hub
        self.limit(interval_s)

    def limit(self, interval_s: float) -> None:
        """Leave at least `interval_s` between frames, 0 for none; a lower rate of its own stays."""
        self._interval_s = max(self._own_interval_s, interval_s)
        self._sort()

    @property
    def prompt(self) -> bool:
        """Whether the next frame may be sent at once: each one is due, and nothing is under way."""
        return self._part is None and not self._interval_s

    def offer(self, part: Part, now_s: float) -> None:
        """Send `part`, unless it is not due at `now_s` or the one before is still under way."""
        if self._interval_s:
            if now_s + self._interval_s * _EARLY < self._due_s:
                return
            # From when it was due, so that the rate is met on average; from now after a pause.
            on_time = now_s - self._due_s < self._interval_s
            self._due_s = (self._due_s if on_time else now_s) + self._interval_s
        if self._part is None:
            self._start(part)
            return
        self.dropped += self._missed
        self._missed = True

    def _finish(self) -> None:
        """Let go of the part under way, and go on with the newest one if some were missed meanwhile."""
        if self._part is not None:
            self._part.release()
            self._part = None
        if self._missed:
            self._missed = False
            newest = self._hub.newest if self._hub is not None else None
            if newest is not None:
                self._start(newest)
        self._sort()

    def _sort(self) -> None:
        if self._hub is not None:
            self._hub.audience.sort(self)

    def _end(self) -> None:
        """Let go of everything; for `close`."""
        hub, self._hub = self._hub, None
        self._missed = False
        self._finish()
        if hub is not None:
            hub.leave(self)

    @abstractmethod
    def _start(self, part: Part) -> None:
        """Send `part`; whatever cannot leave at once is kept, with a hold, in `_part`."""

    @abstractmethod
    def close(self) -> None:
        """End the connection at once. May be called twice."""


class SocketViewer(Viewer):
    """A viewer behind a bare TCP socket, which it takes over.

    Each frame costs one system call, which gives it to the kernel whole as long as the viewer keeps up; only a
    remainder waits for the socket to become writable.
    """

    def __init__(
        self, connection: socket.socket, opening: bytes, fps: float | None = None, gone_after_ms: int = GONE_AFTER_MS
    ) -> None:
        super().__init__(fps)
        connection.setblocking(False)
        prepare(connection, gone_after_ms)
        # Nothing was sent yet, so the kernel has room for the few hundred bytes of a header.
        connection.sendall(opening)
        self._socket = connection
        self.descriptor = connection.fileno()
        self._closed = False
        self._header = b""
        self._sent = 0
        self._unsent_bytes = UNSENT_BYTES
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.descriptor, self._readable)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self.descriptor)
        self._loop.remove_writer(self.descriptor)
        self._socket.close()
        self._end()

    def _start(self, part: Part) -> None:
        header = part.header(self.dropped)
        sent = self._write(part, header, 0)
        if 0 <= sent < len(header) + part.body_bytes:
            self.keep(part, header, sent)

    def keep(self, part: Part, header: bytes, sent: int) -> None:
        """Go on with this part, of which `sent` bytes have left, when the kernel has room again."""
        self._part, self._header, self._sent = part.hold(), header, sent
        if part.body_bytes > self._unsent_bytes:
            self._unsent_bytes = part.body_bytes
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, part.body_bytes)
        self._loop.add_writer(self.descriptor, self._writable)
        self._sort()

    def _writable(self) -> None:
        if self._part is None:
            return
        part = self._part
        self._sent = self._write(part, self._header, self._sent)
        if self._sent == len(self._header) + part.body_bytes:
            self._loop.remove_writer(self.descriptor)
            self._finish()

    def _write(self, part: Part, header: bytes, sent: int) -> int:
        """Give the kernel what it takes of a part of which `sent` bytes are gone; how many are then, -1 if closed."""
        try:
            if part.file < 0:
                pieces = (header, part.jpeg, CLOSING) if not sent else part.rest(header, sent)
                return sent + self._socket.sendmsg(pieces)
            if sent < len(header) and header is not part.usual_header:
                sent += self._socket.send(header[sent:], socket.MSG_MORE)
                if sent < len(header):
                    return sent
            # In the file stands the usual header, which may be shorter.
            offset = sent + len(part.usual_header) - len(header)
            return sent + os.sendfile(self.descriptor, part.file, offset, len(header) + part.body_bytes - sent)
        except BlockingIOError:
            return sent
        except OSError:
            self.close()
            return -1

    def _readable(self) -> None:
        """Notice the end of the connection; a viewer has nothing more to say, so what it says is dropped."""
        try:
            if self._socket.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:  # reset, or given up by the kernel after GONE_AFTER_MS
            pass
        self.close()
