"""What a command line of rpicam-vid asks for, checked in the order in which the real program checks."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.simulated.command_line import Refused, is_true, read_config, read_words
from edge_agent.simulated.option_table import known
from edge_agent.simulated.settings import Settings

DEFAULT_FRAMERATE = 30.0
_CODECS = ("h264", "libav", "yuv420", "mjpeg")
# Leading number of a text, as C++ std::stof takes it.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NANOSECONDS = {"min": 60e9, "sec": 1e9, "s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}
# "M" is 1000 in the real table, a bug since 1.3.0; units that are not listed count as none.
_BITRATE_UNITS = {"bps": 1, "b": 1, "kbps": 1e3, "k": 1e3, "K": 1e3, "mbps": 1e6, "m": 1e6, "M": 1e3}
# Option, the values it may have, and the words it is refused with.
_CHOICES = (
    ("metering", "centre spot average matrix custom", "Invalid metering mode: {}"),
    ("exposure", "normal sport short long custom", "Invalid exposure mode:{}"),
    ("autofocus-mode", "default manual auto continuous", "Invalid AfMode:{}"),
    ("awb", "auto normal incandescent tungsten fluorescent indoor daylight cloudy custom", "Invalid AWB mode: {}"),
)
_DENOISE = frozenset({"auto", "off", "cdn_off", "cdn_fast", "cdn_hq"})


@dataclass(frozen=True, slots=True)
class Options:
    """One run's wishes. `timeout_ns` 0 is for ever, `bitrate_bps` 0 the codec's own, `intra` 0 the frame rate."""

    help: bool
    version: bool
    list_cameras: bool
    camera: int
    verbose: int
    nopreview: bool
    width: int
    height: int
    framerate: float | None
    timeout_ns: int
    frames: int
    hflip: bool
    vflip: bool
    codec: str
    output: str
    quality: int
    bitrate_bps: int
    intra: int
    profile: str
    level: str
    low_latency: bool
    flush: bool
    wrap: int
    segment_ms: int
    stops_on_signal: bool
    elementary_only: bool
    libav_format: str
    libav_video_codec: str
    libav_video_codec_opts: str
    denoise: str
    warnings: tuple[str, ...]

    @property
    def frames_per_second(self) -> float:
        return self.framerate if self.framerate is not None and self.framerate > 0 else DEFAULT_FRAMERATE

    @property
    def is_high_definition(self) -> bool:
        """From here on video is in the colours of Rec. 709."""
        return self.width >= 1280 or self.height >= 720


def read(words: Sequence[str], settings: Settings) -> Options:
    """The options meant by the words after the program's name. Raises Refused with the real program's message."""
    table = known(settings.release, lite=settings.lite)
    given = read_words(words, table)
    config = Path(given.get("config", ""))
    if config.is_file():
        read_config(config.read_text(errors="replace").splitlines(), table, given)
    text = {name: given.get(name, option.default) for name, option in table.items()}
    for name, default in (("low-latency", "false"), ("libav-video-codec", "h264_v4l2m2m"), ("libav-format", "")):
        text.setdefault(name, default)
    text.setdefault("libav-video-codec-opts", "")
    return _checked(text)


def _checked(text: dict[str, str]) -> Options:
    timeout_ns = time_ns(text["timeout"])
    tells_only = is_true(text["help"]) or is_true(text["version"]) or is_true(text["list-cameras"])
    if not tells_only:
        _refuse_what_cannot_be(text)
    turned = text["rotation"] == "180"
    framerate = float(text["framerate"])
    initial_pause = text["initial"].lower() == "pause"
    pieces = is_true(text["split"]) or int(text["segment"]) > 0
    warnings = []
    if (initial_pause or pieces or int(text["circular"]) > 0) and not is_true(text["inline"]):
        warnings.append("WARNING: consider inline headers with 'pause'/split/segment/circular")
    if pieces and "%" not in text["output"]:
        warnings.append("WARNING: expected % directive in output filename")
    return Options(
        help=is_true(text["help"]),
        version=is_true(text["version"]),
        list_cameras=is_true(text["list-cameras"]),
        camera=int(text["camera"]),
        verbose=int(text["verbose"]),
        nopreview=is_true(text["nopreview"]),
        # Odd sizes are adjusted, not refused.
        width=(int(text["width"]) or 640) & ~1,
        height=(int(text["height"]) or 480) & ~1,
        framerate=None if framerate == -1.0 else framerate,
        timeout_ns=timeout_ns,
        frames=int(text["frames"]),
        hflip=is_true(text["hflip"]) != turned,
        vflip=is_true(text["vflip"]) != turned,
        codec=text["codec"].lower(),
        output=text["output"],
        quality=int(text["quality"]),
        bitrate_bps=bitrate_bps(text["bitrate"]),
        intra=int(text["intra"]),
        profile=text["profile"],
        level=text["level"],
        low_latency=is_true(text["low-latency"]),
        flush=is_true(text["flush"]),
        wrap=int(text["wrap"]),
        segment_ms=int(text["segment"]),
        stops_on_signal=is_true(text["signal"]),
        elementary_only=initial_pause or pieces or int(text["circular"]) > 0 or bool(text["save-pts"]),
        libav_format=text["libav-format"],
        libav_video_codec=text["libav-video-codec"],
        libav_video_codec_opts=text["libav-video-codec-opts"],
        denoise=text["denoise"],
        warnings=tuple(warnings),
    )


def _refuse_what_cannot_be(text: dict[str, str]) -> None:
    if text["hdr"] not in {"off", "single-exp", "sensor", "auto"}:
        raise Refused(f"Invalid HDR option provided: {text['hdr']}")
    rotation = int(text["rotation"])
    if rotation % 90:
        raise Refused("illegal rotation value")
    if rotation % 180:
        raise Refused("transforms requiring transpose not supported")
    for name, choices, refusal in _CHOICES:
        if text[name] not in choices.split():
            raise Refused(refusal.format(text[name]))
    if text["metadata-format"].lower() not in {"json", "txt"}:
        raise Refused(f"unrecognised metadata format {text['metadata-format']}")
    bitrate_bps(text["bitrate"])
    if text["codec"].lower() not in _CODECS:
        raise Refused(f"unrecognised codec {text['codec']}")
    if text["initial"].lower() not in {"pause", "record"}:
        raise Refused(f"incorrect initial value {text['initial']}")


def denoise_refusal(options: Options) -> str | None:
    """Why the denoise mode cannot be; it is looked at only when the camera is configured. None: it can."""
    return None if options.denoise in _DENOISE else f"Invalid denoise mode {options.denoise}"


def time_ns(text: str) -> int:
    """Nanoseconds of a time like `5sec` or `4500` (milliseconds). Raises Refused.

    In 32-bit floats like the real one, which therefore halts after 4499 ms when told 4500.
    """
    number = _NUMBER.match(text)
    if number is None:
        raise Refused("Invalid time string provided")
    factor = _NANOSECONDS.get(text[number.end() :])
    value = _float32(float(number.group()))
    if factor is None:
        factor = _NANOSECONDS["ms"]
    return int(_float32(value * _float32(factor)))


def bitrate_bps(text: str) -> int:
    """Bits a second of a rate like `3000000` or `3mbps`, with the real table's surprises. Raises Refused."""
    number = _NUMBER.match(text)
    if number is None:
        raise Refused("Invalid bitrate string provided")
    factor = _BITRATE_UNITS.get(text[number.end() :], 1)
    return int(_float32(_float32(float(number.group())) * factor))


def _float32(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)
