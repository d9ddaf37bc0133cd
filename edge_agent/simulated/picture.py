"""The test picture: colour bars, texture, a wandering block, the clock, the camera's number and the frame's.

Drawn as planar YUV 4:2:0 straight into the encoder's frame. Nearly all of it never changes: a frame costs the few lines
that do (0.05 ms at 640x480, 0.11 ms at 1920x1080), not the picture. The texture
gives JPEGs and key frames the size of a real room's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.simulated import bar_code, glyphs
from edge_agent.simulated.bar_code import read_frame_number

__all__ = ["Plane", "TestPicture", "read_frame_number"]

_BLACK, _WHITE, _NEUTRAL = 16, 235, 128
# The 75 % bars of a test card from white to blue: Y, U, V.
_BARS = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (100, 128, 128),
)
# Luma of the texture: mid grey, +-20, about as rough as an indoor picture.
_TEXTURE = bytes(108 + value * 40 // 255 for value in range(256))


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of a frame: writable memory, and the length of a line in it."""

    memory: memoryview
    stride: int


class TestPicture:
    """Paints frame after frame into one and the same frame's planes.

    The planes must keep what was painted last: only the difference is painted. `hflip` and `vflip` mirror the picture.
    """

    __test__ = False  # not a test of pytest's

    def __init__(
        self, planes: Sequence[Plane], width: int, height: int, camera: int, *, hflip: bool, vflip: bool
    ) -> None:
        self._planes = tuple(planes)
        self._width, self._height, self._camera = width, height, camera
        self._hflip, self._vflip = hflip, vflip
        self._font = glyphs.Font(max(1, min(width // 240, height // 40)), _WHITE, _BLACK)
        self._bar_rows = bar_code.height(height)
        self._text_y = self._bar_rows + self._font.scale * 2
        self._block_width = max(4, width // 8) & ~3
        self._block_height = max(4, height // 8) & ~3
        header_rows = (self._text_y + self._font.scale * (glyphs.HEIGHT + 2) + 1) & ~1
        self._header_rows = min(header_rows, height - self._block_height)
        self._block_rows = self._paint_block()
        self._background = self._paint_background()
        for plane, background in zip(self._planes, self._background, strict=True):
            plane.memory[: len(background)] = background
        self._block_at: tuple[int, int] | None = None

    def paint(self, number: int, at_s: float) -> None:
        """Turn the picture into frame `number`, taken at the Unix time `at_s`."""
        self._move_block(number)
        line = bar_code.row(number, self._width)
        for y in range(self._bar_rows):
            self._put(0, 0, y, line)
        whole_s = int(at_s)
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole_s))
        text = f"CAM{self._camera} {clock}.{int((at_s - whole_s) * 1000):03d} #{number:07d}"
        scale = self._font.scale
        for index, row in enumerate(self._font.lines(text)):
            visible = row[: self._width - scale]
            for y in range(self._text_y + index * scale, self._text_y + (index + 1) * scale):
                self._put(0, scale, y, visible)

    def _put(self, plane: int, x: int, y: int, data: bytes) -> None:
        """Write a piece of a line, mirrored if the picture is."""
        shift = 1 if plane else 0
        if self._vflip:
            y = (self._height >> shift) - 1 - y
        if self._hflip:
            x = (self._width >> shift) - x - len(data)
            data = data[::-1]
        target = self._planes[plane]
        start = y * target.stride + x
        target.memory[start : start + len(data)] = data

    def _move_block(self, number: int) -> None:
        step = max(2, self._width // 160) & ~1
        x = _to_and_fro(number * step, self._width - self._block_width)
        y = self._header_rows + _to_and_fro(number * 2, self._height - self._header_rows - self._block_height)
        if self._block_at is not None:
            self._restore(self._block_at[1])
        for plane, rows in enumerate(self._block_rows):
            shift = 1 if plane else 0
            for index, row in enumerate(rows):
                self._put(plane, x >> shift, (y >> shift) + index, row)
        self._block_at = (x, y)

    def _restore(self, y: int) -> None:
        """Copy the lines of the block from the background: one copy for each plane."""
        for plane, background in enumerate(self._background):
            shift = 1 if plane else 0
            rows = self._block_height >> shift
            top = y >> shift
            if self._vflip:
                top = (self._height >> shift) - top - rows
            target = self._planes[plane]
            start, end = top * target.stride, min((top + rows) * target.stride, len(background))
            target.memory[start:end] = background[start:end]

    def _paint_block(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The wandering block: a chequered board, tinted, with one row of bytes for each of its lines."""
        half = self._block_width // 2
        dark, light = bytes([60]), bytes([210])
        upper = dark * half + light * (self._block_width - half)
        rows = self._block_height // 2
        luma = [upper] * rows + [upper[::-1]] * (self._block_height - rows)
        tint = (90, 170) if self._camera % 2 == 0 else (170, 90)
        blue = [bytes([tint[0]]) * half] * rows
        red = [bytes([tint[1]]) * half] * rows
        return luma, blue, red

    def _paint_background(self) -> tuple[memoryview, ...]:
        texture_from = (self._header_rows + (self._height - self._header_rows) * 2 // 3) & ~1
        noise = hashlib.shake_128(bytes([self._camera & 255])).digest(self._width * (self._height - texture_from))
        luma_noise = noise.translate(_TEXTURE)
        # The bars start elsewhere for each camera, so that two cameras are told apart at a glance.
        turn = self._camera % len(_BARS) * 3
        bars = [_BARS[(turn + index) % len(_BARS)] for index in range(len(_BARS))]
        result = []
        for plane, target in enumerate(self._planes):
            shift = 1 if plane else 0
            width, height = self._width >> shift, self._height >> shift
            edges = [index * width // len(bars) for index in range(len(bars) + 1)]
            bar_row = b"".join(bytes([bar[plane]]) * (edges[i + 1] - edges[i]) for i, bar in enumerate(bars))
            header = bytes([_NEUTRAL if plane else _BLACK]) * width
            lines = [header] * (self._header_rows >> shift)
            lines += [bar_row] * ((texture_from >> shift) - len(lines))
            if plane:
                lines += [bytes([_NEUTRAL]) * width] * (height - len(lines))
            else:
                lines += [luma_noise[at : at + width] for at in range(0, len(luma_noise), width)]
            result.append(memoryview(self._laid_out(lines, target.stride)))
        return tuple(result)

    def _laid_out(self, lines: list[bytes], stride: int) -> bytes:
        """The lines as they lie in memory: mirrored as asked for, each padded to the stride."""
        if self._hflip:
            lines = [line[::-1] for line in lines]
        if self._vflip:
            lines = lines[::-1]
        return b"".join(line.ljust(stride, b"\0") for line in lines)


def _to_and_fro(distance: int, span: int) -> int:
    """Where something is that goes from 0 to `span` and back again; even, so that chroma lies under luma."""
    if span <= 0:
        return 0
    position = distance % (2 * span)
    return (position if position <= span else 2 * span - position) & ~1
