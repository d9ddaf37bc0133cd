"""What the simulated rpicam-vid prints on stderr, in the real one's words.

Two filters, as in the real one: `LIBCAMERA_LOG_LEVELS` for libcamera's own lines, `-v 0` for those and for what the
program merely tells. Errors always come through.
"""

from __future__ import annotations

import contextlib
import os
import time

from edge_agent.simulated.settings import LIBCAMERA_VERSION

_LEVELS = {"DEBUG": 0, "INFO": 1, "WARN": 2, "ERROR": 3, "FATAL": 4}
# Sensor mode, then its fps and score when a frame rate was asked for, then its score when not (640x480, reference).
_MODES = (
    ("1536x864", "120.149", "1486.67", "1486.67"),
    ("2304x1296", "56.0318", "1786.67", "1786.67"),
    ("4608x2592", "14.3501", "33986.5", "2686.67"),
)


class Console:
    """Writes whole lines to stderr, unbuffered. A reader who has gone away is nobody's business here."""

    def __init__(self, verbosity: int, log_levels: str | None) -> None:
        self._verbosity = verbosity
        self._threshold = 1 if log_levels is None else _all_categories(log_levels)

    def error(self, text: str) -> None:
        _write(text)

    def tell(self, text: str) -> None:
        """A line of the program itself, hidden by `-v 0`."""
        if self._verbosity >= 1:
            _write(text)

    def libcamera(self, level: str, place: str, text: str) -> None:
        """A line of libcamera, e.g. level `INFO`, place `Camera camera.cpp:1021`."""
        if self._verbosity >= 1 and _LEVELS[level] >= self._threshold:
            seconds, nanoseconds = divmod(time.monotonic_ns(), 1_000_000_000)
            clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{nanoseconds:09d}"
            _write(f"[{clock}] [{os.getpid()}] {level:>5} {place} {text}")

    def greet(self) -> None:
        """The first line of every run that looks for cameras."""
        self.libcamera("INFO", "Camera camera_manager.cpp:340", f"libcamera {LIBCAMERA_VERSION}")

    def camera_is_busy(self) -> None:
        self.libcamera("INFO", "Camera camera.cpp:1021", "Pipeline handler in use by another process")

    def configured(self, camera_id: str, width: int, height: int, framerate: float | None, colours: str) -> None:
        """What is printed between opening a camera and its first frame."""
        rate = f"({framerate:g})" if framerate else ""
        self.tell(f"Mode selection for {width}:{height}:12:P{rate}")
        for mode, fps, score, score_without_rate in _MODES:
            detail = f"{fps} - Score: {score}" if framerate else f"0 - Score: {score_without_rate}"
            self.tell(f"    SRGGB10_CSI2P,{mode}/{detail}")
        self.tell("Stream configuration adjusted")
        self.libcamera(
            "INFO",
            "Camera camera.cpp:1216",
            f"configuring streams: (0) {width}x{height}-YUV420/{colours} (1) 1536x864-SRGGB10_CSI2P/RAW",
        )
        self.libcamera(
            "INFO",
            "RPI pisp.cpp:1483",
            f"Sensor: {camera_id} - Selected sensor format: 1536x864-SRGGB10_1X10/RAW"
            " - Selected CFE format: 1536x864-PC1R/RAW",
        )

    def device_timeout(self) -> None:
        """The block that comes once a second while a camera delivers nothing."""
        expired = "/dev/video4[29:cap]: Dequeue timer of 1000000.00us has expired!"
        self.libcamera("WARN", "V4L2 v4l2_videodevice.cpp:2095", expired)
        for line, text in (
            (1367, "Camera frontend has timed out!"),
            (1368, "Please check that your camera sensor connector is attached securely."),
            (1369, "Alternatively, try another cable and/or sensor."),
        ):
            self.libcamera("ERROR", f"RPI pipeline_base.cpp:{line}", text)
        self.error("ERROR: Device timeout detected, attempting a restart!!!")

    def terminate(self, what: str) -> None:
        """What the C++ runtime prints before it aborts because of an uncaught exception."""
        self.error(f"terminate called after throwing an instance of 'std::runtime_error'\n  what():  {what}")


def _all_categories(log_levels: str) -> int:
    for entry in log_levels.split(","):
        category, _, level = entry.partition(":")
        if category == "*":
            return _LEVELS.get(level, int(level) if level.isdecimal() else 1)
    return 1


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode(errors="surrogateescape"))
