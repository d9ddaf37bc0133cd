"""Pictures to JPEG and back."""

from __future__ import annotations

from fractions import Fraction

import av

from edge_agent.media.child import Failed

# The decoder's and encoder's threads would only add latency and memory: a picture is small, and others want the cores.
_THREADS = 1


def _quantizer(quality: int) -> int:
    """The quantizer of libavcodec's mjpeg (31 to 2) for a quality of libjpeg (1 to 100).

    libjpeg scales its tables by 5000/quality or 200-2*quality percent; mjpeg's tables at quantizer 1 are about 1/15 of
    libjpeg's at 100 percent.
    """
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(31, max(2, round(percent * 0.148)))


def fit(width: int, height: int, limit: int) -> tuple[int, int]:
    """A size of the same shape, even, at most `limit` wide (0: no limit) and never larger than the picture."""
    if not 0 < limit < width:
        return width, height
    return max(2, limit // 2 * 2), max(2, round(height * limit / width / 2) * 2)


class JpegWriter:
    """Writes frames of any size and format as JPEGs of at most `width` pixels (0: no limit) at libjpeg's `quality`."""

    def __init__(self, width: int, quality: int) -> None:
        self._width = width
        self._quality = quality
        self._encoder: av.VideoCodecContext | None = None
        self._written = 0

    def write(self, frame: av.VideoFrame) -> bytes:
        """One whole JPEG, from SOI to EOI."""
        width, height = fit(frame.width, frame.height, self._width)
        picture = frame.reformat(width, height, "yuvj420p", dst_color_range="JPEG")
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (width, height):
            encoder = self._encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
            encoder.time_base = Fraction(1, 1000)
            encoder.thread_count = _THREADS
            encoder.qmin = encoder.qmax = _quantizer(self._quality)
        # The encoder wants timestamps that grow; a JPEG has none.
        picture.pts, picture.time_base = self._written, encoder.time_base
        self._written += 1
        return b"".join(bytes(packet) for packet in encoder.encode(picture))


def read_jpeg(data: bytes) -> av.VideoFrame:
    """The picture of one JPEG. Raises `Failed` when there is none."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = _THREADS
    try:
        for frame in decoder.decode(av.Packet(data)):
            return frame
    except av.error.FFmpegError:
        pass
    raise Failed("no picture in the JPEG")


def h264_decoder(extradata: bytes | None) -> av.VideoCodecContext:
    """A decoder that gives each picture at once."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = extradata
    decoder.thread_count = _THREADS
    decoder.flags |= av.codec.context.Flags.low_delay
    return decoder
