"""Faults injected into the simulated rpicam-vid while it runs.

`EDGE_AGENT_SIM_CONTROL` names a JSON file; it is read again whenever it changes, so a test can break a camera, watch,
and mend it. Replace it by a rename if half a file must never be seen; a file that is no JSON leaves the faults as they
were. Keys are camera indices and `"*"` for every camera, values one fault or a list of them:

    {"0": {"fault": "timeout", "after_s": 2}, "*": [{"fault": "deaf"}, {"clock_offset_s": 60}]}

`after_s` counts from the first frame of the process (0 when absent). The faults:

| fault | what happens |
|---|---|
| `no_camera` | start: `selected camera is not available` (for `"*"`: `no cameras available`), 255; not listed either |
| `busy` | start: `failed to acquire camera`, 255 |
| `die` | ends at once; `exit` as Python's returncode: -9 (default) is a SIGKILL, 3 an exit code |
| `abort` | uncaught exception: `what()` line from `what`, SIGABRT (134) |
| `segv` | SIGSEGV (139) |
| `timeout` | no frames, the `Device timeout` block every second, SIGINT and `-t` without effect |
| `freeze` | no frames, no word, SIGINT without effect |
| `deaf` | frames come, SIGINT is logged and has no effect |
| `half_rate` | half the frames |
| `garbage` | rubbish in place of JPEGs |
| `clock_step` | the wall clock steps back a second: death by 134 from 1.8.0 on, unless MJPEG |

An entry may have `clock_offset_s`: what the wall clock seems to be off by, from `after_s` on. A step forward is
survived, one backward by more than a frame is not. A process that starts with the offset in place sees no step, and
libavformat does not notice one between the first two frames.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_agent.simulated.settings import SettingsError

_CLOCK_STEP_S = -1.0
_KILLED = -9
_WRITE_FAILED = "libav: error writing output: Invalid argument"


class Kind(Enum):
    NONE = "none"
    NO_CAMERA = "no_camera"
    BUSY = "busy"
    DIE = "die"
    ABORT = "abort"
    SEGV = "segv"
    TIMEOUT = "timeout"
    FREEZE = "freeze"
    DEAF = "deaf"
    HALF_RATE = "half_rate"
    GARBAGE = "garbage"
    CLOCK_STEP = "clock_step"


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the control file."""

    kind: Kind = Kind.NONE
    after_s: float = 0.0
    exit: int = _KILLED
    what: str = _WRITE_FAILED
    clock_offset_s: float = 0.0

    @classmethod
    def parse(cls, entry: object) -> Fault:
        """The fault meant by one JSON object. Raises SettingsError, so that a misspelt fault is not taken for none."""
        if not isinstance(entry, dict):
            raise SettingsError(f"control file: {entry!r} is not an object")
        unknown = entry.keys() - {"fault", "after_s", "exit", "what", "clock_offset_s"}
        if unknown:
            raise SettingsError(f"control file: unknown key {min(unknown)!r}")
        try:
            kind = Kind(entry.get("fault", "none"))
        except ValueError:
            raise SettingsError(f"control file: unknown fault {entry['fault']!r}") from None
        return cls(
            kind=kind,
            after_s=float(entry.get("after_s", 0)),
            exit=int(entry.get("exit", _KILLED)),
            what=str(entry.get("what", _WRITE_FAILED)),
            clock_offset_s=float(entry.get("clock_offset_s", _CLOCK_STEP_S if kind is Kind.CLOCK_STEP else 0.0)),
        )


class Faults:
    """The faults of one camera, as the control file has them now. Looking costs one stat."""

    def __init__(self, control: Path | None, camera: int) -> None:
        self._control = control
        self._camera = camera
        self._stamp: tuple[int, int, int] | None = None
        self._faults: tuple[Fault, ...] = ()

    def find(self, kind: Kind, running_s: float = 0.0) -> Fault | None:
        """The first fault of this kind that has come due `running_s` after the first frame."""
        return next((f for f in self._current() if f.kind is kind and f.after_s <= running_s), None)

    def clock_offset_s(self, running_s: float) -> float:
        """What the wall clock is off by."""
        return sum(f.clock_offset_s for f in self._current() if f.after_s <= running_s)

    def _current(self) -> tuple[Fault, ...]:
        if self._control is None:
            return ()
        try:
            status = os.stat(self._control)  # noqa: PTH116 - once a frame, and Path.stat costs twice that
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._faults = _read(self._control.read_bytes(), self._camera)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._faults = None, ()
        except json.JSONDecodeError:
            pass  # being written: the next look finds it whole
        return self._faults


def _read(content: bytes, camera: int) -> tuple[Fault, ...]:
    document = json.loads(content)
    if not isinstance(document, dict):
        raise SettingsError("control file: not an object of cameras")
    entries: list[object] = []
    for key in (str(camera), "*"):
        value = document.get(key, [])
        entries += value if isinstance(value, list) else [value]
    return tuple(Fault.parse(entry) for entry in entries)
