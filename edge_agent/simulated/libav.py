"""H.264 through libavcodec and libavformat, as rpicam-vid's encoder/libav_encoder.cpp drives them.

The `-o` string goes to libavformat as it is, so `tee`, `segment`, `mp4` and `mpegts` are the real ones. What the real
encoder does before and after, in its order: options that cannot be are refused when the encoder is made, the output is
opened after the first encoded frame, packets have no duration, and any error of the muxer ends the program.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.logging

from edge_agent.simulated.command_line import Refused
from edge_agent.simulated.console import Console
from edge_agent.simulated.options import Options
from edge_agent.simulated.settings import Settings
from edge_agent.simulated.sinks import Died, FileOutput

_MICROSECOND = Fraction(1, 1_000_000)
_PROTOCOL = re.compile(r"[A-Za-z0-9+.-]+:")
_INCOMPATIBLE = (
    "\nERROR: The libav encoder does not currently support the circular, segment, save_pts, split, or pause command"
    " line options with non-elementary streams!\n"
)
_NO_OUTPUT_CONTEXT = "libav: cannot allocate output context, try setting with --libav-format"
# libx264 as encoderOptionsLibx264() sets it up, before the caller's own options.
_X264 = {
    "me_range": "16",
    "cmp": "1",
    "subq": "0",
    "threads": "0",
    "weightp": "none",
    "weightb": "0",
    "motion-est": "dia",
    "sc_threshold": "0",
    "rc-lookahead": "0",
}
_X264_LOW_LATENCY = {"thread_type": "slice", "slices": "4", "refs": "1", "preset": "ultrafast", "tune": "zerolatency"}
_X264_NORMAL = {"thread_type": "frame", "slices": "1", "bf": "1", "preset": "superfast", "partitions": "i8x8,i4x4"}


class LibavSink:
    """Encodes into the muxer of `--libav-format`, or into a plain file for elementary H.264.

    Raises Refused for what the real program refuses when it makes the encoder.
    """

    def __init__(self, options: Options, settings: Settings, console: Console) -> None:
        av.logging.set_level(av.logging.VERBOSE if options.verbose >= 2 else av.logging.INFO)
        av.logging.restore_default_callback()  # libav's own lines go to stderr, as they do in the real program
        self._output = options.output
        self._release = settings.release
        self._elementary = self._is_elementary(options)
        if options.elementary_only and not self._elementary:
            self._refuse_or_ignore(console)
        codec = options.libav_video_codec if options.codec == "libav" else "libx264"
        self._codec = "libx264" if codec == "h264_v4l2m2m" else codec
        self._container = self._open_container(options)
        self._file = FileOutput(options) if self._elementary else None
        self._stream = self._open_stream(options)
        self._started = False
        self._first_us: int | None = None
        self.frame = av.VideoFrame(options.width, options.height, "yuv420p")
        self.frame.time_base = _MICROSECOND
        console.error(self._description(options))

    def take(self, timestamp_us: int, *, garbage: bool) -> None:  # noqa: ARG002 - rubbish is for stdout only
        if self._first_us is None:
            self._first_us = timestamp_us
        self.frame.pts = timestamp_us - self._first_us
        try:
            packets = self._stream.encode(self.frame)
        except av.error.FFmpegError as error:
            raise Died(f"libav: error encoding frame: {-error.errno}") from None
        self._write(packets)

    def finish(self) -> None:
        self._write(self._stream.encode(None))
        if self._file is not None:
            self._file.close()
        # The real program does not look at what av_write_trailer says.
        with contextlib.suppress(av.error.FFmpegError):
            self._container.close()

    def _write(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            if not self._started:
                self._start()
            packet.duration = 0
            if self._file is not None:
                self._file.write(bytes(packet), packet.pts or 0, key_frame=bool(packet.is_keyframe))
                continue
            try:
                self._container.mux_one(packet)
            except av.error.FFmpegError as error:
                raise Died(f"libav: error writing output: {error.strerror}") from None

    def _start(self) -> None:
        """Open the output. Before 1.11.1 one is opened even for muxers that open their own."""
        self._started = True
        if self._file is not None:
            return
        wants_file = not self._container.format.no_file
        if not wants_file and self._release.opens_every_output_as_file and not _PROTOCOL.match(self._output):
            try:
                Path(self._output).open("wb").close()
            except OSError as error:
                raise Died(f"libav: unable to open output mux for {self._output}: {error.strerror}") from None
        try:
            self._container.start_encoding()
        except av.error.FFmpegError as error:
            failed = "unable to open output mux" if wants_file else "unable write output mux header"
            raise Died(f"libav: {failed} for {self._output}: {error.strerror}") from None

    def _is_elementary(self, options: Options) -> bool:
        return options.libav_format in {"", "h264"} and options.output.endswith("264")

    def _refuse_or_ignore(self, console: Console) -> None:
        console.error(_INCOMPATIBLE)
        if self._release.refuses_segment_for_containers:
            raise Refused("libav: Incompatible options selected.")

    def _open_container(self, options: Options) -> av.container.OutputContainer:
        output, wanted = options.output, options.libav_format
        if not wanted and (not output or output.startswith(("tcp://", "udp://"))):
            if self._codec != "libx264":
                raise Refused("libav: please specify output format with the --libav-format argument")
            wanted = "h264"
        name = {"": "/dev/null", "-": "pipe:" if wanted else "-"}.get(output, output)
        try:
            return av.open(name, "w", format=wanted or None)
        except ValueError:
            raise Refused(_NO_OUTPUT_CONTEXT) from None

    def _open_stream(self, options: Options) -> av.VideoStream:
        rate = Fraction(int(options.frames_per_second * 1000), 1000)
        try:
            stream = self._container.add_stream(
                self._codec, rate=rate, width=options.width, height=options.height, time_base=_MICROSECOND
            )
        except av.codec.codec.UnknownCodecError:
            raise Refused(f"libav: cannot find video encoder {self._codec}") from None
        stream.time_base = _MICROSECOND
        context = stream.codec_context
        given = _pairs(options.libav_video_codec_opts)
        context.options = {**self._built_in(options), **given}
        try:
            context.open()
        except av.error.FFmpegError as error:
            raise Refused(f"libav: unable to open video codec: {-error.errno}") from None
        for key in context.options:  # what the encoder did not take
            if key in given:
                raise Refused(f"libav: codec option error {key}={given[key]}: Option not found")
        return stream

    def _built_in(self, options: Options) -> dict[str, str]:
        matrix = "bt709" if options.is_high_definition else "smpte170m"
        result = {
            "g": str(options.intra or int(options.frames_per_second)),
            "b": str(options.bitrate_bps),
            "color_primaries": matrix,
            "color_trc": "bt709",
            "colorspace": matrix,
            "color_range": "tv",
        }
        if self._codec == "libx264":
            result |= _X264 | (_X264_LOW_LATENCY if options.low_latency else _X264_NORMAL)
        if options.profile:
            result["profile"] = options.profile
        if options.level:
            result["level"] = options.level
        return result

    def _description(self, options: Options) -> str:
        """What av_dump_format prints of the output."""
        rate = f"{options.frames_per_second:g}"
        colours = "bt709" if options.is_high_definition else "smpte170m/smpte170m/bt709"
        bits = f"{options.bitrate_bps // 1000} kb/s, " if options.bitrate_bps else ""
        return (
            f"Output #0, {self._container.format.name}, to '{self._output}':\n"
            f"  Stream #0:0: Video: h264, yuv420p(tv, {colours}), {options.width}x{options.height},"
            f" q=2-31, {bits}{rate} fps, {rate} tbr, 1000k tbn\n"
            "      Side data:\n"
            f"        cpb: bitrate max/min/avg: 0/0/{options.bitrate_bps} buffer size: 0 vbv_delay: N/A"
        )


def _pairs(text: str) -> dict[str, str]:
    """`k=v;k=v` of --libav-video-codec-opts; what comes last counts."""
    return {key: value for key, _, value in (entry.partition("=") for entry in text.split(";") if entry)}
