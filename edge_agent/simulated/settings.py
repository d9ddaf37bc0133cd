"""What the simulated rpicam-vid is told by its environment, and what a version of rpicam-apps can do.

| variable | meaning | default |
|---|---|---|
| `EDGE_AGENT_SIM_VERSION` | version of rpicam-apps to be | `1.13.0` |
| `EDGE_AGENT_SIM_LITE` | `1`: the lite package, without libav | `0` |
| `EDGE_AGENT_SIM_CAMERAS` | number of cameras attached | `2` |
| `EDGE_AGENT_SIM_START_DELAY_S` | from the start of the program to the first frame | `0.3` |
| `EDGE_AGENT_SIM_STOP_DELAY_S` | what stopping takes on top of finishing the files | `0.2` |
| `EDGE_AGENT_SIM_LOCK_DIR` | the locks of the cameras; one directory is one machine | one per user in `$TMPDIR` |
| `EDGE_AGENT_SIM_CONTROL` | the control file with the faults to inject | none |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# `git describe` and build date of the samples that --version is modelled on.
_BUILDS = {(1, 13, 0): "6fcb0a381071 23-11-2026 (09:44:25)", (1, 8, 1): "eb293b055248-dirty 23-11-2026 (09:45:44)"}
_OTHER_BUILD = "0123456789ab 23-11-2026 (09:40:00)"
LIBCAMERA_VERSION = "v0.7.1+rpt20260429+dirty (2026-11-23T09:33:51UTC)"


class SettingsError(Exception):
    """A variable or the control file says something that cannot be meant; the text names it."""


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A version of rpicam-apps, with the differences between versions that a caller can notice."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Release:
        """The release named by `1.8.1` or `v1.8.1`. Raises SettingsError."""
        try:
            return cls(*(int(part) for part in text.removeprefix("v").split(".")))
        except (TypeError, ValueError):
            raise SettingsError(f"EDGE_AGENT_SIM_VERSION: {text!r} is not a version like 1.13.0") from None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def stamps_wall_clock(self) -> bool:
        """Timestamps are FrameWallClock, no longer the sensor's clock (since 1.8.0)."""
        return self >= Release(1, 8)

    @property
    def opens_every_output_as_file(self) -> bool:
        """Even a muxer that wants no file gets one opened, named like the whole `-o` string (until 1.11.1)."""
        return self < Release(1, 11, 1)

    @property
    def loads_encoders(self) -> bool:
        """The libav encoder is a plugin: a build without it still knows its options (since 1.8.1)."""
        return self >= Release(1, 8, 1)

    @property
    def refuses_segment_for_containers(self) -> bool:
        """`--segment` and its like end the program; before, they were ignored (since 1.7.0)."""
        return self >= Release(1, 7)


@dataclass(frozen=True, slots=True)
class Settings:
    """The static part of the simulation, read once from the environment."""

    release: Release = Release(1, 13)
    lite: bool = False
    cameras: int = 2
    start_delay_s: float = 0.3
    stop_delay_s: float = 0.2
    lock_directory: Path = Path("/tmp")  # noqa: S108 - never used as it is: from_environment makes one per user
    control: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """The settings of this process. Raises SettingsError for a number that is none."""
        temporary = Path(environment.get("TMPDIR", "/tmp"))  # noqa: S108 - the directory below it is per user, 0700
        control = environment.get("EDGE_AGENT_SIM_CONTROL")
        return cls(
            release=Release.parse(environment.get("EDGE_AGENT_SIM_VERSION", "1.13.0")),
            lite=environment.get("EDGE_AGENT_SIM_LITE", "0") == "1",
            cameras=int(_number(environment, "EDGE_AGENT_SIM_CAMERAS", 2)),
            start_delay_s=_number(environment, "EDGE_AGENT_SIM_START_DELAY_S", 0.3),
            stop_delay_s=_number(environment, "EDGE_AGENT_SIM_STOP_DELAY_S", 0.2),
            lock_directory=Path(
                environment.get("EDGE_AGENT_SIM_LOCK_DIR") or temporary / f"edge-agent-cameras-{os.getuid()}"
            ),
            control=Path(control) if control else None,
        )

    def version_text(self) -> str:
        """What `--version` prints."""
        release = self.release
        build = _BUILDS.get((release.major, release.minor, release.patch), _OTHER_BUILD)
        lines = [f"rpicam-apps build: v{release} {build}"]
        if release >= Release(1, 5, 3):
            lines.append(f"rpicam-apps capabilites: egl:0 qt:0 drm:0 libav:{0 if self.lite else 1}")
        lines.append(f"libcamera build: {LIBCAMERA_VERSION}")
        return "".join(f"{line}\n" for line in lines)


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a number") from None
