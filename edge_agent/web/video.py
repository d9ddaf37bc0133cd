"""`/video/{camera}`: a running recording as its recorder encoded it, copied into fragmented MP4 and not decoded.

A viewer gets a text message with the MIME type for Media Source Extensions, the initialization segment, and fragments
from the next key frame on. One that falls behind loses fragments up to the next key frame, never the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from tornado.websocket import WebSocketClosedError

from edge_agent.core.model import Code
from edge_agent.tapframes import Kind, TapFrame
from edge_agent.web.guard import GuardedSocket
from edge_agent.web.live import Seats
from edge_agent.web.tokens import Role

BEHIND_BYTES = 1024 * 1024
"""How much may be under way to a viewer before it counts as behind: some seconds of a recording."""
NORMAL_END, TRY_AGAIN_LATER = 1000, 1013


class Video:
    """One camera's recording on its way to all who watch it. Call from the event loop only.

    `wanted` is called with True for the first viewer and with False after the last. Whether the camera records is told
    by `recorded`; fragments come through `relay`.
    """

    def __init__(self, camera: str, wanted: Callable[[bool], None]) -> None:
        self.camera = camera
        self.recording = False
        self._wanted = wanted
        self._viewers: set[VideoSocket] = set()
        self._mime: str | None = None
        self._init: bytes | None = None

    def recorded(self, yes: bool) -> None:
        """Whether the camera is being recorded; its end closes every connection with a reason."""
        if self.recording and not yes:
            self._end(tuple(self._viewers), f"{self.camera} does not record any more")
        self.recording = yes

    def relay(self, frame: TapFrame | None) -> None:
        """Hand a tap frame on; None means that the tap has ended."""
        if frame is None:
            self._mime = self._init = None
            return
        match frame.kind:
            case Kind.TYPE:
                # Who has seen nothing yet begins with this one.
                self._end([viewer for viewer in self._viewers if viewer.greeted], "the recording was started anew")
                self._mime, self._init = frame.payload.decode("ascii", "replace"), None
            case Kind.INIT:
                self._init = frame.payload
            case Kind.KEY | Kind.FRAGMENT:
                if self._mime is not None and self._init is not None:
                    for viewer in tuple(self._viewers):
                        viewer.offer(frame, self._mime, self._init)

    def join(self, viewer: VideoSocket) -> None:
        self._viewers.add(viewer)
        if len(self._viewers) == 1:
            self._wanted(True)

    def leave(self, viewer: VideoSocket) -> None:
        if viewer in self._viewers:
            self._viewers.remove(viewer)
            if not self._viewers:
                # What a viewer begins with is kept: if the next one comes before the copy has ended, it just goes on.
                self._wanted(False)

    def _end(self, viewers: Iterable[VideoSocket], reason: str) -> None:
        for viewer in viewers:
            self.leave(viewer)
            viewer.close(NORMAL_END, reason)


class VideoSocket(GuardedSocket):
    """`GET /video/{camera}`."""

    needs: ClassVar = {"GET": Role.VIEWER}

    def initialize(self, videos: Mapping[str, Video], seats: Seats) -> None:
        super().initialize()
        self._videos = videos
        self._seats = seats
        self._video: Video | None = None
        self.greeted = False
        self._waiting = True
        self._under_way_bytes = 0

    def open(self, camera: str) -> None:
        self.set_nodelay(True)
        video = self._videos.get(camera) or self._videos.get(f"cam{camera}")
        if video is None:
            self.close(NORMAL_END, f"{Code.UNKNOWN_CAMERA}: one of {', '.join(self._videos)}")
        elif not video.recording:
            self.close(NORMAL_END, f"{video.camera} does not record: watch /stream/{video.camera}")
        elif not self._seats.take():
            self.close(TRY_AGAIN_LATER, "as many viewers as are allowed: try again later")
        else:
            self._video = video
            video.join(self)

    def on_message(self, message: str | bytes) -> None:
        """Nothing: a viewer has nothing to say."""

    def on_close(self) -> None:
        if self._video is not None:
            self._video.leave(self)
            self._video = None
            self._seats.free()

    def offer(self, frame: TapFrame, mime: str, init: bytes) -> None:
        """Send a fragment unless this viewer waits for a key frame or is behind."""
        self._waiting = self._waiting and frame.kind is not Kind.KEY
        if self._under_way_bytes > BEHIND_BYTES:
            self._waiting = True
        if self._waiting:
            return
        if not self.greeted:
            self.greeted = True
            self._send(mime)
            self._send(init)
        self._send(frame.payload)

    def _send(self, message: str | bytes) -> None:
        try:
            sent = self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            return
        if sent.done():
            return
        size = len(message)
        self._under_way_bytes += size
        sent.add_done_callback(lambda done: self._sent(done, size))

    def _sent(self, sent: asyncio.Future[None], size: int) -> None:
        self._under_way_bytes -= size
        if not sent.cancelled():
            sent.exception()  # a closed connection is noticed by `on_close`
