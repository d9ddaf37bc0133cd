"""The recorder's MPEG-TS datagrams as the file that libavformat reads, one stream after another."""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque

from edge_agent.media.outlet import Ready

SILENCE_S = 3.0
"""Without a datagram for so long the stream is taken for ended, and what comes next for another one. Longer than the
pause between the pictures of the slowest camera."""

HANDOVER_S = 0.25
"""For so long after its last datagram a sender keeps the stream: a stray packet does not end it, and no recorder is
replaced by the next within so short a time."""

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel, which gives what net.core.rmem_max allows: room for what comes while a picture is decoded."""

_DATAGRAM_BYTES = 2048
"""More than a recorder's datagrams have (seven packets of MPEG-TS, 1316 bytes)."""

_MARKS = 1024
"""How many arrival times are remembered: more than libavformat reads ahead of the packet that it returns."""


class TapFeed:
    """Reads from UDP `port` on loopback; while it waits, the `selector` serves whatever else is registered there.

    libavformat's reads call back into `read`, so that one thread serves the socket, the orders and the outlets: the
    selector's data is called when its descriptor is ready, None stands for the socket. One of those calls may `end` the
    feed; then every read ends the stream. Raises OSError when the port is taken.
    """

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._ended = False
        self._selector = selector
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        selector.register(self._socket, selectors.EVENT_READ, None)
        self._sender: object = None
        self._heard_mono_s = 0.0
        self._waiting = b""
        self._position = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MARKS)

    def end(self) -> None:
        """Let nothing more be read."""
        self._ended = True

    def close(self) -> None:
        """Give the port back."""
        self._ended = True
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()

    def begin(self) -> bool:
        """Wait for the first bytes of the next stream; False when ended instead. The position starts at 0 again."""
        self._position = 0
        self._marks.clear()
        while not self._waiting and not self._ended:
            self._sender = None
            if self._wait(None):
                self._waiting = self._receive(_DATAGRAM_BYTES)
        return not self._ended

    def read(self, size: int) -> bytes:
        """At least one datagram and at most `size` bytes; empty when the stream has ended."""
        data, self._waiting = self._waiting, b""
        while not data:
            if self._ended or not self._wait(SILENCE_S):
                return b""
            data = self._receive(size)
            if self._waiting:
                return b""
        self._marks.append((self._position, time.time_ns() // 1000))
        self._position += len(data)
        return data

    def arrived_us(self, position: int | None) -> int:
        """The wall clock at the arrival of the byte at `position` of this stream; now, where that is unknown."""
        for start, at_us in reversed(self._marks):
            if position is not None and start <= position:
                return at_us
        return time.time_ns() // 1000

    def _wait(self, patience_s: float | None) -> bool:
        """Whether there is a datagram; False after `patience_s` without one, or when ended."""
        deadline_s = None if patience_s is None else time.monotonic() + patience_s
        while not self._ended:
            left_s = None if deadline_s is None else deadline_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                return False
            readable = False
            for key, _ in self._selector.select(left_s):
                if key.data is None:
                    readable = True
                else:
                    ready: Ready = key.data
                    ready()
            if readable:
                return True
        return False

    def _receive(self, size: int) -> bytes:
        """All that waits in the socket, up to `size` bytes.

        The first datagram of another sender is put aside as `_waiting`: it begins the next stream.
        """
        chunks = []
        room = size
        while room >= _DATAGRAM_BYTES:
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            now_s = time.monotonic()
            if self._sender is None:
                self._sender = sender
            elif sender != self._sender:
                if now_s - self._heard_mono_s < HANDOVER_S:
                    continue
                self._sender = sender
                self._waiting = datagram
                break
            self._heard_mono_s = now_s
            chunks.append(datagram)
            room -= len(datagram)
        return b"".join(chunks)
