"""Which mode a `start` asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from edge_agent.core.commands import Refusal, Start
from edge_agent.core.model import RESOLUTIONS, Code, Mode, Purpose


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """A sentence that names what was asked for and what there is."""
    return f"there is no {what} {name[:40]!r}: one of {', '.join(sorted(known))}"


def find_mode(body: Start, selected: str, modes: Mapping[str, Mode], cameras: Collection[str]) -> Mode | Refusal:
    """The mode that is named, or made of cameras and resolution, or else the selected one."""
    if body.cameras is None and body.resolution is None:
        name = body.mode or selected
        return modes.get(name) or Refusal(Code.UNKNOWN_MODE, unknown("mode", name, modes))
    if body.mode is not None:
        return Refusal(Code.MALFORMED, "mode goes without cameras and resolution: name one or the other")
    resolution = body.resolution or "640"
    if resolution not in RESOLUTIONS:
        return Refusal(Code.OUT_OF_RANGE, unknown("resolution", resolution, RESOLUTIONS))
    wanted = set(body.cameras or cameras)
    for camera in wanted:
        if camera not in cameras:
            return Refusal(Code.UNKNOWN_CAMERA, unknown("camera", camera, cameras))
    for mode in modes.values():
        if _records(mode, wanted, RESOLUTIONS[resolution]):
            return mode
    told = f"no mode records {', '.join(sorted(wanted))} at {resolution}: add one to the configuration"
    return Refusal(Code.UNKNOWN_MODE, told)


def _records(mode: Mode, cameras: set[str], size: tuple[int, int]) -> bool:
    profile = mode.steps[0].profile
    return (
        mode.purpose is Purpose.RECORD
        and not mode.timed
        and set(mode.cameras) == cameras
        and (profile.width, profile.height) == size
    )
