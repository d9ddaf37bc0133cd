"""Every option that rpicam-vid knows, which version brought it, and how its value is read.

From rpicam-apps' core/options.cpp and core/video_options.hpp, 1.4.1 to 1.13.0. Options that change nothing in a drawn
picture are here as well: the real program takes them, so this one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_agent.simulated.settings import Release

ANY = Release(0, 0)


class Kind(Enum):
    """How boost::lexical_cast and the implicit values treat what follows an option."""

    FLAG = "flag"
    UNSIGNED = "unsigned"
    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Option:
    """One row. `default` is the value when absent, `implicit` the one of a name alone; None: a value must follow."""

    name: str
    kind: Kind
    default: str = ""
    implicit: str | None = None
    short: str = ""
    since: Release = ANY
    libav: bool = False


def _flags(*names: str) -> list[Option]:
    return [Option(name, Kind.FLAG, "false", "true", short) for name, _, short in (n.partition(",") for n in names)]


def _rows(kind: Kind, **defaults: str) -> list[Option]:
    return [Option(name.replace("_", "-"), kind, default) for name, default in defaults.items()]


TABLE: tuple[Option, ...] = (
    *_flags("help,h", "version", "list-cameras", "nopreview,n", "fullscreen,f", "qt-preview", "hflip", "vflip"),
    *_flags("flush", "lores-par", "no-raw", "inline", "listen,l", "keypress,k", "signal,s", "split"),
    Option("low-latency", Kind.FLAG, "false", "true", since=Release(1, 6)),
    Option("libav-audio", Kind.FLAG, "false", "true", libav=True),
    *_rows(Kind.UNSIGNED, camera="0", width="0", height="0", wrap="0", segment="0", frames="0"),
    *_rows(Kind.UNSIGNED, viewfinder_width="0", viewfinder_height="0", lores_width="0", lores_height="0"),
    *_rows(Kind.UNSIGNED, buffer_count="0", viewfinder_buffer_count="0"),
    Option("intra", Kind.UNSIGNED, "0", short="g"),
    Option("verbose", Kind.UNSIGNED, "1", "2", "v"),
    Option("circular", Kind.UNSIGNED, "0", "4"),
    Option("audio-channels", Kind.UNSIGNED, "0", libav=True),
    Option("audio-samplerate", Kind.UNSIGNED, "0", libav=True),
    Option("quality", Kind.INTEGER, "50", short="q"),
    *_rows(Kind.INTEGER, rotation="0"),
    *_rows(Kind.FLOAT, analoggain="0", gain="0", ev="0", brightness="0", contrast="1", saturation="1"),
    *_rows(Kind.FLOAT, sharpness="1", framerate="-1"),
    Option("config", Kind.TEXT, "", "config.txt", "c"),
    Option("timeout", Kind.TEXT, "5sec", short="t"),
    Option("output", Kind.TEXT, short="o"),
    Option("preview", Kind.TEXT, "0,0,0,0", short="p"),
    Option("bitrate", Kind.TEXT, "0bps", short="b"),
    Option("initial", Kind.TEXT, "record", short="i"),
    Option("hdr", Kind.TEXT, "off", "auto"),
    *_rows(Kind.TEXT, info_text="#%frame (%fps fps) exp %exp ag %ag dg %dg", post_process_file="", roi="0,0,0,0"),
    *_rows(Kind.TEXT, shutter="0", metering="centre", exposure="normal", awb="auto", awbgains="0,0", denoise="auto"),
    *_rows(Kind.TEXT, tuning_file="-", mode="", viewfinder_mode="", autofocus_mode="default"),
    *_rows(Kind.TEXT, autofocus_range="normal", autofocus_speed="normal", autofocus_window="0,0,0,0"),
    *_rows(Kind.TEXT, lens_position="", metadata="", metadata_format="json", flicker_period="0s"),
    *_rows(Kind.TEXT, profile="", level="", codec="h264", save_pts=""),
    Option("post-process-libs", Kind.TEXT, since=Release(1, 5)),
    Option("sync", Kind.TEXT, "off", since=Release(1, 6)),
    Option("encoder-libs", Kind.TEXT, since=Release(1, 8, 1)),
    Option("preview-libs", Kind.TEXT, since=Release(1, 8, 1)),
    Option("ccm", Kind.TEXT, since=Release(1, 9)),
    Option("preview-backend", Kind.TEXT, since=Release(1, 13)),
    Option("libav-video-codec", Kind.TEXT, "h264_v4l2m2m", libav=True),
    Option("libav-video-codec-opts", Kind.TEXT, since=Release(1, 4, 1), libav=True),
    Option("libav-format", Kind.TEXT, libav=True),
    Option("audio-codec", Kind.TEXT, "aac", libav=True),
    Option("audio-source", Kind.TEXT, "pulse", libav=True),
    Option("audio-device", Kind.TEXT, "default", libav=True),
    Option("audio-bitrate", Kind.TEXT, "32kbps", libav=True),
    Option("av-sync", Kind.TEXT, "0us", libav=True),
)


def known(release: Release, *, lite: bool) -> dict[str, Option]:
    """The options of this version by their long name. A lite build before the plugins has no libav options at all."""
    without_libav = lite and not release.loads_encoders
    return {option.name: option for option in TABLE if release >= option.since and not (option.libav and without_libav)}
