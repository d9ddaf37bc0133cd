"""Viewers that come, look for some seconds and go without a word: MJPEG, H.264 over the WebSocket, pictures, pages."""

from __future__ import annotations

import base64
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

LOOK_S = (0.5, 8.0)
PAUSE_S = (0.1, 2.0)
_PAGES = ("/", "/api/blackbox/status", "/api/recordings?limit=20", "/api/system/info", "/metrics", "/healthz")
_READ_BYTES = 65536
_TICK_S = 0.5
"""How long a viewer may take to notice that it shall leave."""


class Audience:
    """`size` viewers in threads of their own. `url` says where the page is at the moment, None while nobody serves it.

    `seen` counts what they got: answers by kind and status, bytes, and connections that failed.
    """

    def __init__(self, size: int, seed: int, url: Callable[[], str | None]) -> None:
        self.seen: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self._url = url
        self._leave = threading.Event()
        self._open = threading.Event()
        self._watching: set[str] = set()
        self._threads = [
            threading.Thread(target=self._view, args=(random.Random(f"{seed} {number}"),), name=f"viewer {number}")
            for number in range(size)
        ]

    def start(self) -> None:
        self._open.set()
        for thread in self._threads:
            thread.start()

    def send_away(self) -> None:
        """Let all viewers leave and none come, until `let_in`."""
        self._open.clear()
        deadline = time.monotonic() + 30
        while self._watching:
            assert time.monotonic() < deadline, f"viewers hang: {self._watching}"
            self._leave.wait(0.05)

    def let_in(self) -> None:
        self._open.set()

    def end(self) -> None:
        self._leave.set()
        self._open.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), thread.name
        assert self.failed is None, self.failed

    def _view(self, chance: random.Random) -> None:
        me = threading.current_thread().name
        while not self._leave.wait(chance.uniform(*PAUSE_S)):
            self._watching.add(me)
            try:
                if self._open.is_set() and (url := self._url()) is not None:
                    self._look(url, chance)
            except OSError:
                self.seen["connections that failed"] += 1
            except BaseException as error:
                self.failed = error  # told by `end`: a thread has nobody to tell
                raise
            finally:
                self._watching.discard(me)
            self._open.wait()

    def _look(self, url: str, chance: random.Random) -> None:
        camera = chance.choice(("cam0", "cam1"))
        kind, path = chance.choice(
            (
                ("mjpeg", f"/stream/{camera}?fps={chance.choice((1, 5, 30))}"),
                ("mjpeg", f"/stream/{camera}"),
                ("h264", f"/video/{camera}"),
                ("picture", f"/snapshot/{camera}.jpg"),
                ("page", chance.choice(_PAGES)),
            )
        )
        until = time.monotonic() + chance.uniform(*LOOK_S)
        place = urlsplit(url)
        address = ("127.0.0.1", place.port or 80)
        with socket.create_connection(address, timeout=_TICK_S) as connection:
            connection.sendall(_request(path, f"127.0.0.1:{address[1]}", socket_wanted=kind == "h264"))
            first = True
            while self._open.is_set() and not self._leave.is_set() and time.monotonic() < until:
                try:
                    got = connection.recv(_READ_BYTES)
                except TimeoutError:
                    continue
                if not got:
                    return
                if first:
                    self.seen[f"{kind} {got.split(b' ', 2)[1].decode(errors='replace')}"] += 1
                    first = False
                self.seen[f"{kind} bytes"] += len(got)


def _request(path: str, host: str, *, socket_wanted: bool) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}"]
    if socket_wanted:
        key = base64.b64encode(b"sixteen bytes ok").decode()
        lines += [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Origin: http://{host}",
        ]
    else:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode()
