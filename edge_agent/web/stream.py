"""`/stream/{camera}` and `/snapshot/{camera}.jpg`: Tornado reads the request, the hub of the camera answers it.

A stream's connection is detached from Tornado, whose limits and time-outs end there: seats, the hub's own watch and
`LiveView.close` take their place. Behind TLS the bytes still go through Tornado's stream, which knows how to encrypt.

Who may look is not decided here: mix in a class with `prepare` in front of these handlers. It may also set headers and
override `problem`, through which every refusal goes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

from tornado.httputil import HTTPHeaders
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import RequestHandler

from edge_agent.core.model import Code
from edge_agent.web.live import LiveView, Seats
from edge_agent.web.part import CLOSING, CONTENT_TYPE, OPENING, Part, timestamp
from edge_agent.web.viewer import SocketViewer, Viewer, prepare

SNAPSHOT_TIMEOUT_S = 10.0
"""A camera that was off delivers in 0.3 to 1.5 s; a preview of a recording waits for a key frame, too."""
RETRY_AFTER_S = 10
SLOWEST_FPS, FASTEST_FPS = 0.1, 240.0


class LiveHandler(RequestHandler):
    """What both have in common: finding the camera, and refusing."""

    def initialize(self, views: Mapping[str, LiveView], seats: Seats) -> None:
        self.views = views
        self.seats = seats

    def view(self, camera: str) -> LiveView | None:
        """The live view of a camera by its id, or by its number (`0` for `cam0`); None after refusing."""
        view = self.views.get(camera) or self.views.get(f"cam{camera}")
        if view is None:
            known = ", ".join(self.views)
            self.problem(HTTPStatus.NOT_FOUND, Code.UNKNOWN_CAMERA, f"there is no camera {camera!r}, but {known}")
        return view

    def problem(self, status: HTTPStatus, code: Code, detail: str) -> None:
        """Answer with a problem document (RFC 9457), and with Retry-After where trying again may help."""
        self.set_status(status)
        self.set_header("Content-Type", "application/problem+json")
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", RETRY_AFTER_S)
        document = {"v": 1, "type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
        self.finish(json.dumps({**document, "code": code}))


class StreamHandler(LiveHandler):
    """`GET /stream/{camera}?fps=`: one picture after the other, for as long as the viewer looks."""

    def get(self, camera: str) -> None:
        view = self.view(camera)
        if view is None:
            return
        try:
            fps = self.wanted_fps()
        except ValueError as error:
            self.problem(HTTPStatus.BAD_REQUEST, Code.OUT_OF_RANGE, str(error))
            return
        if not self.seats.take():
            detail = f"all {self.seats.limit} viewers' seats are taken; close a live view somewhere and try again"
            self.problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.RATE_LIMITED, detail)
            return
        try:
            viewer = self.viewer(fps)
        except OSError:  # it ended meanwhile
            self.seats.free()
            return
        view.join(viewer, self.seats.free)

    def wanted_fps(self) -> float | None:
        """The rate that the viewer asks for, None for every frame. Raises `ValueError` where it makes no sense."""
        text = self.get_query_argument("fps", "")
        if not text:
            return None
        try:
            fps = float(text)
        except ValueError:
            fps = math.nan
        if not SLOWEST_FPS <= fps <= FASTEST_FPS:
            raise ValueError(f"fps is a number from {SLOWEST_FPS} to {FASTEST_FPS:.0f}, not {text!r}")
        return fps

    def viewer(self, fps: float | None) -> Viewer:
        """Take the connection from Tornado and send the head of the answer. Raises `OSError` if it has ended."""
        self.set_header("Content-Type", CONTENT_TYPE)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Connection", "close")
        opening = head(self._headers) + OPENING
        # Handler and request would wait, in a cycle, for the garbage collector: 10 KB per viewer.
        self.ui.clear()
        stream = self.detach()
        if stream.closed():
            raise ConnectionResetError
        if isinstance(stream, SSLIOStream):
            return StreamViewer(stream, opening, fps)
        # A second descriptor of the same connection: Tornado closes its own, and forgets about it.
        connection = stream.socket.dup()
        stream.close()
        try:
            return SocketViewer(connection, opening, fps)
        except OSError:
            connection.close()
            raise


class SnapshotHandler(LiveHandler):
    """`GET /snapshot/{camera}.jpg`: one picture, captured after the request."""

    def initialize(self, views: Mapping[str, LiveView], seats: Seats, timeout_s: float = SNAPSHOT_TIMEOUT_S) -> None:
        super().initialize(views, seats)
        self.timeout_s = timeout_s

    async def get(self, camera: str) -> None:
        view = self.view(camera)
        if view is None:
            return
        try:
            frame = await view.fresh(self.timeout_s)
        except TimeoutError:
            detail = f"{view.camera} delivered no picture within {self.timeout_s:g} s; its state says why"
            self.problem(HTTPStatus.SERVICE_UNAVAILABLE, Code.NO_FRAMES, detail)
            return
        self.set_header("Content-Type", "image/jpeg")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Timestamp", timestamp(frame.captured_at))
        self.set_header("X-Sequence", frame.sequence)
        self.finish(frame.jpeg)


class StreamViewer(Viewer):
    """A viewer behind TLS, by the same rules: at most one part is under way, and the newest frame follows."""

    def __init__(self, stream: IOStream, opening: bytes, fps: float | None = None) -> None:
        super().__init__(fps)
        self._stream = stream
        prepare(stream.socket)
        stream.write(opening)
        stream.set_close_callback(self._end)

    def close(self) -> None:
        self._stream.close()

    def _start(self, part: Part) -> None:
        header = part.header(self.dropped)
        # Tornado keeps what it is given, not a copy: pieces cost two small records more, but no memory of their own.
        pieces = (part.whole,) if header is part.usual_header else (header, part.jpeg, CLOSING)
        try:
            for piece in pieces:
                written = self._stream.write(piece)
        except StreamClosedError:
            return
        if self._stream.writing():
            self._part = part.hold()
            written.add_done_callback(lambda _: self._finish())


def head(headers: HTTPHeaders) -> bytes:
    """The status line and header of an answer without a length, which lasts as long as the connection."""
    lines = [f"{name}: {value}" for name, value in headers.get_all()]
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1")
