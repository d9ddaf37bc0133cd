"""The command lines of the camera program, and the environment it gets. Pure.

Recording is one process that encodes once and hands every packet to libavformat's tee muxer: an MPEG-TS copy to a
loopback UDP port, where nobody has to listen, and fragmented-MP4 segments on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from edge_agent.core.model import Camera, Profile
from edge_agent.rpicam.probe import Abilities

SOFTWARE_ENCODER = "flags=+global_header;preset=superfast;tune=zerolatency;bf=0;thread_type=slice;slices=2"
"""libx264 without B-frames and frame threads: 109 ms from picture to viewer through the tap, 340 ms with defaults."""
HARDWARE_ENCODER = "flags=+global_header"
"""The Pi 4's encoder: without the global header the MP4 would lack its parameter sets."""
TAP_PACKET_BYTES = 1316
"""Seven MPEG-TS packets: the most that fits an Ethernet frame, and what every reader expects."""
FIFO_PACKETS = 600
"""Packets kept while the disk stalls, 20 s at 30 fps; without the queue a stall of 0.5 s loses 10 frames."""

_OPTIONS = {
    "bitrate": "b",
    "camera": "",
    "circular": "",
    "codec": "",
    "config": "c",
    "flush": "",
    "framerate": "",
    "frames": "",
    "height": "",
    "help": "h",
    "hflip": "",
    "initial": "i",
    "intra": "g",
    "keypress": "k",
    "libav-format": "",
    "libav-video-codec": "",
    "libav-video-codec-opts": "",
    "list-cameras": "",
    "metadata": "",
    "nopreview": "n",
    "output": "o",
    "quality": "q",
    "rotation": "",
    "save-pts": "",
    "segment": "",
    "signal": "s",
    "split": "",
    "timeout": "t",
    "verbose": "v",
    "version": "",
    "vflip": "",
    "width": "",
}
"""The program's options that matter here, long name to short letter; others pass through untouched."""
_LONG = {short: name for name, short in _OPTIONS.items() if short}

_REFUSED = {
    "camera": "cameras are chosen by `cameras`",
    "circular": "the program refuses it together with segments",
    "codec": "the agent chooses it by what the program is run for",
    "frames": "the length of a recording is its duration",
    "help": "it ends the program at once",
    "initial": "recording is started and stopped by commands",
    "keypress": "nobody is at the keyboard",
    "libav-format": "footage is written as segments of `recording.segment_s`",
    "list-cameras": "it ends the program at once",
    "metadata": "the program leaks memory with it while it records",
    "output": "the place of footage is `recording.root`",
    "save-pts": "the program refuses it together with segments",
    "segment": "the length of segments is `recording.segment_s`",
    "signal": "recording is started and stopped by commands",
    "split": "segments are cut by `recording.segment_s`",
    "timeout": "the length of a recording is its duration",
    "version": "it ends the program at once",
}

_TAP = re.compile(r"udp://127\.0\.0\.1:(\d{1,5})\?")
_ENDS_OF_VALUE = "':]"
_ENDS_OF_SLAVE = "'|"
_BLANKS = " \n\t\r"
_NOT_FOR_THE_PROGRAM = re.compile(r"EDGE_AGENT__|NOTIFY_SOCKET$|WATCHDOG_|LISTEN_|CREDENTIALS_DIRECTORY$")


class ExtraArgRefused(ValueError):
    """An extra argument would break what the agent runs the program for. `option` is its long name."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"--{option} is not possible in extra_args: {reason}")
        self.option = option
        self.reason = reason


def record_argv(  # noqa: PLR0913 - each is a fact of another owner: configuration, probe, spool, tap
    program: tuple[str, ...],
    camera: Camera,
    camera_index: int,
    profile: Profile,
    *,
    segment_s: int,
    intra_s: float,
    tap_port: int,
    segment_pattern: str,
    list_path: str,
    abilities: Abilities,
    extra_args: tuple[str, ...],
) -> list[str]:
    """The command line that records `camera` to segments and copies the stream to UDP port `tap_port` on loopback.

    `camera_index` is the program's own number of the camera, which may differ from the configured one. `intra_s` is the
    length of a group of pictures and so of a fragment, the most that a crash can lose. `segment_pattern` is an absolute
    path: a directory, taken literally, and a file name with one `%06d`. `list_path` is the absolute path of a file to
    which the program appends a CSV line per finished segment. Raises `ExtraArgRefused`.
    """
    if abilities.hardware_encoder:
        encoder = [("--libav-video-codec", "h264_v4l2m2m"), ("--libav-video-codec-opts", HARDWARE_ENCODER)]
    else:
        encoder = [("--libav-video-codec-opts", SOFTWARE_ENCODER)]
    ours = [
        *_picture(camera, camera_index, profile),
        ("-b", str(profile.bitrate_bps)),  # plain bits per second: the program takes "4M" for 4000
        ("-g", str(max(1, round(profile.fps * intra_s)))),
        ("--codec", "libav"),
        ("--libav-format", "tee"),
        *encoder,
        ("-o", tee_output(segment_pattern, list_path, segment_s=segment_s, tap_port=tap_port)),
    ]
    return _command(program, ours, extra_args)


def live_argv(
    program: tuple[str, ...],
    camera: Camera,
    camera_index: int,
    profile: Profile,
    *,
    extra_args: tuple[str, ...],
) -> list[str]:
    """The command line that writes JPEGs to stdout, one after another. Raises `ExtraArgRefused`.

    `--flush` sends the end of a frame at once; without it, that comes one frame later.
    """
    ours = [
        *_picture(camera, camera_index, profile),
        ("--codec", "mjpeg"),
        ("-q", str(profile.quality)),
        ("--flush",),
        ("-o", "-"),
    ]
    return _command(program, ours, extra_args)


def tap_port(argv: Sequence[str]) -> int | None:
    """The loopback port in a command line that `record_argv` made; None in any other."""
    for argument in argv:
        if match := _TAP.match(argument):
            return int(match[1])
    return None


def check_extra_args(extra_args: Sequence[str]) -> None:
    """Raise `ExtraArgRefused` for the first of `rpicam.extra_args` that the agent can't live with."""
    for token in extra_args:
        option = _option(token)
        if option in _REFUSED:
            raise ExtraArgRefused(option, _REFUSED[option])


def tee_output(segment_pattern: str, list_path: str, *, segment_s: int, tap_port: int) -> str:
    """The `-o` value: the UDP copy first, then the segments.

    Versions before 1.11.1 open the whole string as one URL before the tee muxer sees it; one that starts with `udp://`
    survives that, one that starts with `[` or `/` does not. That first output can't have options, so the unused `x=.ts`
    makes libavformat take it for MPEG-TS.
    """
    directory, slash, name = segment_pattern.rpartition("/")
    # delay_moov: with empty_moov a full disk is a crash instead of an error. flush_packets: otherwise up to 256 KiB of
    # finished fragments stay in the program's memory.
    format_options = "movflags=+frag_keyframe+delay_moov+default_base_moof:flush_packets=1"
    options = {
        "f": "segment",
        "segment_time": str(segment_s),
        "segment_atclocktime": "1",  # after a stall no burst of tiny segments to catch up
        "segment_format": "mp4",
        "segment_format_options": format_options,
        "segment_list": list_path,
        "segment_list_type": "csv",
        "reset_timestamps": "1",
        "onfail": "abort",  # must be written: left out, a failing disk is ignored instead
        "use_fifo": "1",
        "fifo_options": f"queue_size={FIFO_PACKETS}",
    }
    slave = ":".join(f"{key}={_escape(value, _ENDS_OF_VALUE)}" for key, value in options.items())
    path = directory.replace("%", "%%") + slash + name
    tap = f"udp://127.0.0.1:{tap_port}?pkt_size={TAP_PACKET_BYTES}&x=.ts"
    return f"{tap}|{_escape(f'[{slave}]{path}', _ENDS_OF_SLAVE)}"


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the camera program: `inherited` without the agent's secrets and its tie to systemd.

    Segments are cut at full minutes of the local time, which has to be UTC; messages are understood in English only.
    libcamera's own log level may be raised from outside to look for a fault. Before 0.7.0 it colours its lines also
    where no terminal shows them.
    """
    kept = {key: value for key, value in inherited.items() if not _NOT_FOR_THE_PROGRAM.match(key)}
    plain = {"TZ": "UTC0", "LC_ALL": "C.UTF-8", "LIBCAMERA_LOG_NO_COLOR": "1"}
    return {"LIBCAMERA_LOG_LEVELS": "*:WARN"} | kept | plain


def _picture(camera: Camera, camera_index: int, profile: Profile) -> list[tuple[str, ...]]:
    options: list[tuple[str, ...]] = [("--camera", str(camera_index)), ("-n",), ("-t", "0")]
    options += [("--width", str(profile.width)), ("--height", str(profile.height)), ("--framerate", str(profile.fps))]
    if camera.hflip:
        options.append(("--hflip",))
    if camera.vflip:
        options.append(("--vflip",))
    if camera.rotation:
        options.append(("--rotation", str(camera.rotation)))
    return options


def _command(program: tuple[str, ...], ours: list[tuple[str, ...]], extra_args: tuple[str, ...]) -> list[str]:
    """`program`, `ours` but what `extra_args` name too, then `extra_args`: the program refuses a repeated option."""
    check_extra_args(extra_args)
    replaced = {_option(token) for token in extra_args}
    kept = [option for option in ours if _option(option[0]) not in replaced]
    return [*program, *(token for option in kept for token in option), *extra_args]


def _option(token: str) -> str | None:
    """The long name of the option that `token` is or starts with, as the program reads it; None for a value.

    The program takes `--width 640`, `--width=640`, `-t 0`, `-t0`, and any unambiguous beginning of a long name.
    """
    if token.startswith("--"):
        name = token[2:].partition("=")[0]
        longer = [known for known in _OPTIONS if known.startswith(name)] if name else []
        return longer[0] if len(longer) == 1 and name not in _OPTIONS else name or None
    return _LONG.get(token[1:2]) if token.startswith("-") else None


def _escape(text: str, special: str) -> str:
    """`text` with a backslash before backslashes, `special` characters and the blanks at either end.

    libavformat unescapes the tee string twice, first when it is split at `|`, then in the values of options. The
    text between brackets is therefore escaped twice, a file name once.
    """
    pattern = rf"[\\{re.escape(special)}]|\A[{_BLANKS}]+|[{_BLANKS}]+\Z"
    return re.sub(pattern, lambda found: "".join(f"\\{character}" for character in found[0]), text)
