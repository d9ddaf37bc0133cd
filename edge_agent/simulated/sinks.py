"""Where frames go, as far as one frame is one write: MJPEG and raw YUV on stdout or in files."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from typing import Protocol

import av

from edge_agent.simulated.options import Options

_BLOCK_BYTES = 4096


class Died(Exception):
    """The program prints this as its `what():` line and aborts."""


class Sink(Protocol):
    """What takes the pictures of one run."""

    frame: av.VideoFrame
    """The picture is painted here; `take` has read it when it returns."""

    def take(self, timestamp_us: int, *, garbage: bool) -> None:
        """Encode and write the frame. Blocks while the reader does not read. Raises Died."""

    def finish(self) -> None:
        """Write what is left and close the files. Raises Died."""


class StdioFile:
    """Writes like glibc's stdio with a buffer of 4096 bytes: fill it up, then whole blocks, and keep the rest.

    A reader therefore sees the last piece of a picture only together with the next one, unless it is flushed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._kept = b""

    def write(self, data: bytes) -> None:
        """Raises OSError: the reader has gone, the disk is full."""
        if len(self._kept) + len(data) < _BLOCK_BYTES:
            self._kept += data
            return
        if self._kept:
            missing = _BLOCK_BYTES - len(self._kept)
            self._write_all(self._kept + data[:missing])
            data = data[missing:]
        elif len(data) > _BLOCK_BYTES:
            self._write_all(data[:_BLOCK_BYTES])
            data = data[_BLOCK_BYTES:]
        whole = len(data) // _BLOCK_BYTES * _BLOCK_BYTES
        self._write_all(data[:whole])
        self._kept = data[whole:]

    def flush(self) -> None:
        self._write_all(self._kept)
        self._kept = b""

    def close(self) -> None:
        """Flush, and close unless it is stdout. Errors are nobody's business any more, as with a real exit."""
        with contextlib.suppress(OSError):
            self.flush()
        if self._descriptor != 1:
            os.close(self._descriptor)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


class FileOutput:
    """The output of MJPEG, YUV and elementary H.264: stdout or files, a new one every `--segment` milliseconds."""

    def __init__(self, options: Options) -> None:
        self._pattern = options.output
        self._segment_ms = options.segment_ms
        self._wrap = options.wrap
        self._flush = options.flush
        self._file: StdioFile | None = None
        self._started_ms = 0
        self._count = 0

    def write(self, data: bytes, timestamp_us: int, *, key_frame: bool) -> None:
        """Raises Died."""
        if not self._pattern:
            return
        if self._file is None or self._is_full(timestamp_us, key_frame=key_frame):
            self.close()
            self._file = self._open(timestamp_us)
        try:
            self._file.write(data)
            if self._flush:
                self._file.flush()
        except OSError:
            raise Died("failed to write output bytes") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_full(self, timestamp_us: int, *, key_frame: bool) -> bool:
        age_ms = timestamp_us // 1000 - self._started_ms
        return self._segment_ms > 0 and key_frame and age_ms > self._segment_ms

    def _open(self, timestamp_us: int) -> StdioFile:
        if self._pattern == "-":
            return StdioFile(1)
        try:
            name = self._pattern % self._count
        except TypeError:
            name = self._pattern  # no directive in it: the same file again and again
        self._count += 1
        if self._wrap:
            self._count %= self._wrap
        self._started_ms = timestamp_us // 1000
        try:
            return StdioFile(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666))
        except OSError:
            raise Died(f"failed to open output file {name}") from None


class JpegSink:
    """MJPEG: whole JFIF pictures, one after the other, every one a key frame."""

    def __init__(self, options: Options) -> None:
        self._output = FileOutput(options)
        self.frame = av.VideoFrame(options.width, options.height, "yuvj420p")
        self.frame.pts = 0
        self._encoder = av.CodecContext.create("mjpeg", "w")
        self._encoder.width, self._encoder.height = options.width, options.height
        self._encoder.pix_fmt = "yuvj420p"
        self._encoder.time_base = Fraction(1, 1_000_000)
        quantiser = str(_quantiser(options.quality))
        # Square pixels make libavcodec write the JFIF header, bitexact leaves its comment out; one thread, since a
        # frame that is still being encoded must not be painted over.
        self._encoder.options = {
            "qmin": quantiser,
            "qmax": quantiser,
            "huffman": "default",
            "flags": "+bitexact",
            "threads": "1",
            "aspect": "1",
        }

    def take(self, timestamp_us: int, *, garbage: bool) -> None:
        self.frame.pts += 1
        for packet in self._encoder.encode(self.frame):
            data = _rubbish(packet.size) if garbage else bytes(packet)
            self._output.write(data, timestamp_us, key_frame=True)

    def finish(self) -> None:
        self._output.close()


class RawSink:
    """`--codec yuv420`: the planes of every frame without their padding."""

    def __init__(self, options: Options) -> None:
        self._output = FileOutput(options)
        self.frame = av.VideoFrame(options.width, options.height, "yuv420p")

    def take(self, timestamp_us: int, *, garbage: bool) -> None:
        planes = []
        for plane in self.frame.planes:
            memory, stride, width = memoryview(plane), plane.line_size, plane.width
            planes += [bytes(memory[row * stride : row * stride + width]) for row in range(plane.height)]
        data = b"".join(planes)
        self._output.write(_rubbish(len(data)) if garbage else data, timestamp_us, key_frame=True)

    def finish(self) -> None:
        self._output.close()


def _quantiser(quality: int) -> int:
    """The scale of libavcodec for about the strength of a libjpeg quality.

    libjpeg scales tables with a mean of 57.6 by `percent`, libavcodec ones with a mean of 30 by `quantiser / 8`.
    """
    quality = min(100, max(1, quality))
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(31, max(1, round(percent / 100 * 57.6 * 8 / 30)))


def _rubbish(size: int) -> bytes:
    """Noise with JPEG markers strewn in where they do harm: an end, a start inside, and no end after it."""
    data = bytearray(os.urandom(max(size, 64)))
    data[:4] = b"\xff\xd9\xff\xd8"
    data[32:36] = b"\xff\xd8\xff\xe0"
    return bytes(data)
