"""What the agent asks of the tap, one line each on its stdin. Pure.

`jpeg FPS WIDTH QUALITY` (width 0: as recorded), `jpeg off`, `copy on`, `copy off`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class JpegOrder:
    """JPEGs at up to `fps` a second, at most `width` pixels wide, of libjpeg's `quality` 1 to 100."""

    fps: float
    width: int
    quality: int


@dataclass(frozen=True, slots=True)
class Orders:
    """What is wanted now; nothing at first."""

    jpeg: JpegOrder | None = None
    copy: bool = False

    def obey(self, line: str) -> Orders:
        """The orders after one more line. Raises ValueError, with the line, for one that is no order."""
        match line.split():
            case ["jpeg", "off"]:
                return replace(self, jpeg=None)
            case ["jpeg", fps, width, quality]:
                order = JpegOrder(float(fps), int(width), int(quality))
                if 0 < order.fps <= 120 and 0 <= order.width <= 8192 and 1 <= order.quality <= 100:
                    return replace(self, jpeg=order)
            case ["copy", "on" | "off" as word]:
                return replace(self, copy=word == "on")
        raise ValueError(f"no order: {line!r}")
