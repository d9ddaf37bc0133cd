"""A running H.264 stream as fragmented MP4 in tap frames, one fragment a picture, without decoding."""

from __future__ import annotations

from collections.abc import Callable

import av

from edge_agent.media.unit import Unit
from edge_agent.tapframes import Kind, TapFrame, pack

Send = Callable[[bytes], bool]
"""Takes whole frames; False when they were dropped because the reader is behind."""

MAX_JUMP_S = 10.0
"""A step ahead by more than this is another timeline, not a pause of the camera."""

_OPTIONS = {
    # One fragment a picture keeps the latency at one picture; empty_moov puts the description before the first.
    "movflags": "empty_moov+frag_every_frame+default_base_moof+skip_trailer",
    "flush_packets": "1",
}


def mime_type(extradata: bytes | None) -> str:
    """What Media Source Extensions call a stream with this extradata (Annex B or avcC): RFC 6381, section 3.3.

    Raises ValueError where it names no profile and level.
    """
    data = extradata or b""
    if data[:1] == b"\x01" and len(data) >= 4:
        return f'video/mp4; codecs="avc1.{data[1:4].hex().upper()}"'
    start = data.find(b"\0\0\1")
    while start >= 0:
        unit = data[start + 3 : start + 7]
        if len(unit) == 4 and unit[0] & 0x1F == 7:
            return f'video/mp4; codecs="avc1.{unit[1:4].hex().upper()}"'
        start = data.find(b"\0\0\1", start + 3)
    raise ValueError("the stream does not name its profile")


class _Sink:
    """What libavformat writes to: collects until somebody takes it."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data


class Copier:
    """Copies units of the `template` stream.

    Starts with the first key frame, and with a new TYPE and INIT at the next one when the timestamps jump or go back.
    After a dropped fragment nothing is sent until the next key frame.
    """

    def __init__(self, template: av.VideoStream, send: Send) -> None:
        self._template = template
        self._mime = mime_type(template.codec_context.extradata)
        self._send = send
        self._sink = _Sink()
        self._container: av.container.OutputContainer | None = None
        self._last: Unit | None = None
        # TYPE and INIT, until they have gone out: they travel with the first key frame, for they are of no use alone.
        self._header = b""
        self._behind = False

    def write(self, unit: Unit) -> None:
        """Take the next unit; its fragment goes out with the one after it, which tells how long it lasts."""
        last = self._last
        if last is not None and not 0 < (unit.dts - last.dts) * unit.time_base < MAX_JUMP_S:
            self.close()
        if self._container is None and not unit.key:
            return
        container = self._container or self._open()
        packet = unit.packet()
        packet.stream = container.streams.video[0]
        container.mux(packet)
        self._pass_on()
        self._last = unit

    def close(self) -> None:
        """Send the last fragment and end the stream. May be called twice."""
        if self._container is not None:
            self._container.close()
            self._pass_on()
        self._container = self._last = None

    def _open(self) -> av.container.OutputContainer:
        container = self._container = av.open(self._sink, "w", format="mp4", options=_OPTIONS)
        container.add_stream_from_template(self._template)
        self._header = pack(TapFrame(Kind.TYPE, 0, self._mime.encode()))
        return container

    def _pass_on(self) -> None:
        """Send what was written: the fragment of the last unit, or the initialization before there was one."""
        data = self._sink.take()
        if not data:
            return
        if self._last is None:
            self._header += pack(TapFrame(Kind.INIT, 0, data))
            return
        if self._last.key:
            fragment = self._header + pack(TapFrame(Kind.KEY, self._last.arrived_us, data))
            self._behind = not self._send(fragment)
            if not self._behind:
                self._header = b""
        elif not self._behind:
            self._behind = not self._send(pack(TapFrame(Kind.FRAGMENT, self._last.arrived_us, data)))
