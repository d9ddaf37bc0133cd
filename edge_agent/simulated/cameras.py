"""The cameras attached to the simulated machine: their names, their list, and the lock that one process holds.

Like libcamera's, the lock belongs to the machine, not to a parent process: it is a lock on a file, held by the open
descriptor and dropped by the kernel with the process.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from edge_agent.simulated.settings import SettingsError

# In the order of the real list: ids sorted descending, so the connector CAM/DISP 0 of a Pi 5 (i2c@88000) comes first.
_BUSES = (88000, 80000, 70000, 68000)
_MODELS = ("imx708", "imx708_wide")
_MODES = ("1536x864 [120.15 fps", "2304x1296 [56.03 fps", "4608x2592 [14.35 fps")


@dataclass(frozen=True, slots=True)
class Camera:
    index: int
    model: str
    id: str

    def description(self) -> str:
        """The part of this camera in `--list-cameras`, with the empty line after it."""
        head = "    Modes: 'SRGGB10_CSI2P' : "
        modes = (f"{mode} - (0, 0)/4608x2592 crop]" for mode in _MODES)
        rows = ("\n" + " " * len(head)).join(modes)
        return f"{self.index} : {self.model} [4608x2592 10-bit RGGB] ({self.id})\n{head}{rows}\n\n"


def attached(count: int) -> list[Camera]:
    """The first `count` cameras of the machine."""
    cameras = []
    for index in range(count):
        bus = _BUSES[index] if index < len(_BUSES) else 60000 - index
        identity = f"/base/axi/pcie@1000120000/rp1/i2c@{bus}/imx708@1a"
        cameras.append(Camera(index, _MODELS[index % len(_MODELS)], identity))
    return cameras


def listing(cameras: list[Camera]) -> str:
    """What `--list-cameras` prints."""
    if not cameras:
        return "No cameras available!\n"
    return "Available cameras\n-----------------\n" + "".join(camera.description() for camera in cameras)


def acquire(camera: Camera, directory: Path) -> bool:
    """Lock the camera until this process ends, however it ends. False if another process has it.

    Raises SettingsError if the directory cannot be used.
    """
    path = directory / f"camera{camera.index}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SettingsError(f"EDGE_AGENT_SIM_LOCK_DIR: {path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
