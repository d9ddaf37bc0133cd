"""The simulated rpicam-vid: `python -m edge_agent.simulated.rpicam_vid`, with the real one's options.

Exit codes are the real ones: 0 for an end that was asked for, 255 for what is refused, SIGABRT (134) for errors while
running, the signal itself for every signal without a handler. 70 means the simulation itself was set up wrongly.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from edge_agent.simulated.cameras import Camera, acquire, attached, listing
from edge_agent.simulated.command_line import Refused
from edge_agent.simulated.console import Console
from edge_agent.simulated.faults import Faults, Kind
from edge_agent.simulated.option_table import known
from edge_agent.simulated.options import Options, denoise_refusal, read
from edge_agent.simulated.settings import Settings, SettingsError
from edge_agent.simulated.signals import Signals, restore_defaults

if TYPE_CHECKING:
    from edge_agent.simulated.sinks import Sink

EXIT_REFUSED = 255
EXIT_MISUSED = 70


def main(words: Sequence[str]) -> int:
    """Run with the words after the program's name; returns the exit code, unless it dies by a signal."""
    started_s = time.monotonic()
    restore_defaults()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    console = Console(1, os.environ.get("LIBCAMERA_LOG_LEVELS"))
    try:
        settings = Settings.from_environment(os.environ)
        options = read(words, settings)
        if told := _tell(options, settings):
            sys.stdout.write(told)
            return 0
        console = Console(options.verbose, os.environ.get("LIBCAMERA_LOG_LEVELS"))
        _record(options, settings, console, started_s)
    except Refused as refused:
        console.error(f"ERROR: *** {refused} ***")
        return EXIT_REFUSED
    except SettingsError as error:
        console.error(f"simulated rpicam-vid: {error}")
        return EXIT_MISUSED
    return 0


def _tell(options: Options, settings: Settings) -> str:
    """What goes to stdout if nothing is to be recorded."""
    if options.help:
        table = known(settings.release, lite=settings.lite)
        return "Valid options are:\n" + "".join(f"  --{option.name} arg\n" for option in table.values())
    if options.version:
        return settings.version_text()
    return listing(_present(settings)) if options.list_cameras else ""


def _present(settings: Settings) -> list[Camera]:
    """The cameras that are there, without those taken away by a fault."""
    cameras = attached(settings.cameras)
    return [camera for camera in cameras if not Faults(settings.control, camera.index).find(Kind.NO_CAMERA)]


def _record(options: Options, settings: Settings, console: Console, started_s: float) -> None:
    for warning in options.warnings:
        console.error(warning)
    if not options.nopreview:
        console.tell("Preview window unavailable")
    console.greet()
    faults = Faults(settings.control, options.camera)
    camera = _open(options, settings, faults, console)
    colours = "Rec709" if options.is_high_definition else "SMPTE170M"
    if options.codec in {"mjpeg", "yuv420"}:
        colours = "sYCC"
    if refusal := denoise_refusal(options):
        raise Refused(refusal)
    console.configured(camera.id, options.width, options.height, options.framerate, colours)
    # Here, and not at the top: --version and --list-cameras must not pay for loading libav.
    from edge_agent.simulated.sensor import FrameClock  # noqa: PLC0415
    from edge_agent.simulated.session import Session  # noqa: PLC0415
    from edge_agent.simulated.sinks import Died  # noqa: PLC0415

    sink = _sink(options, settings, console)
    signals = Signals(console, stops_on_signal=options.stops_on_signal)
    clock = FrameClock(wall=settings.release.stamps_wall_clock)
    session = Session(options, sink, faults, signals, console, clock)
    time.sleep(max(0.0, started_s + settings.start_delay_s - time.monotonic()))
    signals.install()
    try:
        session.run()
    except Died as died:
        _abort(str(died), console)
    time.sleep(settings.stop_delay_s)


def _open(options: Options, settings: Settings, faults: Faults, console: Console) -> Camera:
    """Find and lock the camera; the lock lasts as long as the process. Raises Refused."""
    present = {camera.index: camera for camera in _present(settings)}
    if not present:
        raise Refused("no cameras available")
    if options.camera not in present:
        raise Refused("selected camera is not available")
    camera = present[options.camera]
    if faults.find(Kind.BUSY) or not acquire(camera, settings.lock_directory):
        console.camera_is_busy()
        raise Refused(f"failed to acquire camera {camera.id}")
    return camera


def _sink(options: Options, settings: Settings, console: Console) -> Sink:
    from edge_agent.simulated.sinks import JpegSink, RawSink  # noqa: PLC0415 - loads libav

    if options.codec == "mjpeg":
        return JpegSink(options)
    if options.codec == "yuv420":
        return RawSink(options)
    if settings.lite:
        if options.codec == "h264":
            raise Refused("Unable to find an appropriate H.264 codec")
        raise Refused(f"Unrecognised codec {options.codec}")
    from edge_agent.simulated.libav import LibavSink  # noqa: PLC0415

    return LibavSink(options, settings, console)


def _abort(what: str, console: Console) -> NoReturn:
    """End as an uncaught C++ exception ends a program."""
    console.terminate(what)
    os.abort()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
