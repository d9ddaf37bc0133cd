"""The viewers of `fanout.py` where `load.c` will not do: without a compiler, and for TLS.

fanout_load PORT PATH VIEWERS SECONDS FRAME_BYTES [CERTIFICATE] < A_FRAME. Checks every frame whole: length, stamp at
both ends, and every byte between. Prints `ready` when it has watched for a second and then, after SECONDS, one JSON
line.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import time

from tests.bench.fanout_frames import Pattern


class Broken(Exception):
    """A viewer got what is not a frame."""


class Watching:
    """One connection, and the frame that it is receiving."""

    def __init__(self, port: int, path: str, pattern: Pattern, tls: ssl.SSLContext | None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.connection: socket.socket = tls.wrap_socket(plain) if tls else plain
        self.connection.sendall(f"GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n".encode())
        self.connection.setblocking(False)
        self.pattern = pattern
        self.buffer = bytearray(2 * pattern.size + 4096)
        self.view = memoryview(self.buffer)
        self.filled = 0
        self.start = -1
        self.numbers: list[int] = []
        self.latencies_ms: list[float] = []

    def receive(self) -> None:
        try:
            count = self.connection.recv_into(self.view[self.filled :])
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        if not count:
            raise Broken("the server closed the connection")
        self.filled += count
        while True:
            if self.start < 0:
                head = self.buffer.find(b"\r\n\r\n\xff\xd8", 0, self.filled)
                if head < 0:
                    return
                self.start = head + 4
            end = self.start + self.pattern.size
            if self.filled < end:
                return
            self.check()
            self.view[: self.filled - end] = self.view[end : self.filled]
            self.filled -= end
            self.start = -1

    def check(self) -> None:
        stamp = self.pattern.read(self.buffer, self.start)
        if stamp is None:
            raise Broken(f"a frame is torn: {bytes(self.buffer[self.start : self.start + 80])!r}")
        number, written_ns = stamp
        self.numbers.append(number)
        self.latencies_ms.append((time.monotonic_ns() - written_ns) / 1e6)


def watch(viewers: list[Watching], seconds: float) -> None:
    """Receive for so long, from all of them."""
    ready = select.epoll()
    by_fd = {viewer.connection.fileno(): viewer for viewer in viewers}
    for fd in by_fd:
        ready.register(fd, select.EPOLLIN)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for fd, _ in ready.poll(left, 512):
            viewer = by_fd[fd]
            viewer.receive()
            while isinstance(viewer.connection, ssl.SSLSocket) and viewer.connection.pending():
                viewer.receive()
    ready.close()


def main(port: int, path: str, count: int, seconds: float, size: int, certificate: str | None = None) -> None:
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    if tls:
        tls.check_hostname = False
    pattern = Pattern.of(sys.stdin.buffer.read(size))
    viewers = [Watching(port, path, pattern, tls) for _ in range(count)]
    watch(viewers, 1.0)
    for viewer in viewers:
        del viewer.numbers[:-1], viewer.latencies_ms[:]
    print("ready", flush=True)
    started = time.monotonic()
    watch(viewers, seconds)
    took_s = time.monotonic() - started
    delivered = sum(len(viewer.numbers) - 1 for viewer in viewers)
    passed = sum(viewer.numbers[-1] - viewer.numbers[0] for viewer in viewers)
    latencies = sorted(latency for viewer in viewers for latency in viewer.latencies_ms) or [0.0]
    result = {
        "delivered": delivered,
        "dropped": passed - delivered,
        "fps": delivered / took_s / count,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[len(latencies) * 99 // 100],
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), *sys.argv[6:7])
