"""A running H.264 stream as JPEGs: decoded as far as the order needs, never more pictures than the reader takes."""

from __future__ import annotations

import av

from edge_agent.media.orders import JpegOrder
from edge_agent.media.outlet import Outlet
from edge_agent.media.pictures import JpegWriter, h264_decoder
from edge_agent.media.unit import Unit

_EARLY = 0.25
"""The part of a period by which a picture may be early, so that 30 a second still give every third one at 10."""


class JpegView:
    """Decodes units and offers JPEGs to `outlet`, at most `order.fps` a second by the stream's own clock.

    Every unit has to be decoded, since each needs the one before it; only scaling and coding are saved by a low rate.
    Where key frames come often enough for the order, `key_period_s` says so and nothing else is decoded.
    """

    def __init__(self, template: av.VideoStream, order: JpegOrder, outlet: Outlet) -> None:
        self.order = order
        self._outlet = outlet
        self._decoder = h264_decoder(template.codec_context.extradata)
        self._writer = JpegWriter(order.width, order.quality)
        self._started = False
        self._due_s: float | None = None

    def catch_up(self, units: list[Unit]) -> None:
        """Decode the units since the last key frame, so that the newest is seen at once and not a key frame later."""
        for unit in units[:-1]:
            self._decode(unit)
        for unit in units[-1:]:
            self.write(unit, None)

    def write(self, unit: Unit, key_period_s: float | None) -> None:
        """Take the next unit. `key_period_s`: the time between the last two key frames, None where unknown."""
        period_s = 1 / self.order.fps
        if key_period_s is not None and key_period_s <= period_s * (1 + _EARLY) and not unit.key:
            # The decoder misses pictures from here on, so that it has to begin at a key frame again.
            self._started = False
            return
        frames = self._decode(unit)
        if not frames:
            return
        time_s = unit.time_s
        if self._due_s is None or not self._due_s - 2 * period_s <= time_s + period_s <= self._due_s + 2 * period_s:
            self._due_s = time_s  # the first picture, or another timeline
        if time_s < self._due_s - _EARLY * period_s or not self._outlet.free:
            return
        self._due_s = max(self._due_s + period_s, time_s)
        self._outlet.offer(self._writer.write(frames[-1]))

    def _decode(self, unit: Unit) -> list[av.VideoFrame]:
        self._started |= unit.key
        if not self._started:
            return []
        try:
            return list(self._decoder.decode(unit.packet()))
        except av.error.FFmpegError:
            # A datagram was lost. What follows is patched up by the decoder until the next key frame.
            return []
