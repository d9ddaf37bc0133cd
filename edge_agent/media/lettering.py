"""A font of 5x7 dots for the names of cameras (`[a-z0-9_-]`), because PyAV's wheels come without drawtext."""

from __future__ import annotations

import av

_WIDTH = 5
_HEIGHT = 7
_BLACK = 16
_WHITE = 235
_COLOURLESS = 128

# Seven rows of five dots, one hexadecimal pair a row, the highest of the five bits to the left.
_DOTS = {
    "a": "00000e010f110f",
    "b": "10101619111116",
    "c": "00000e1010110e",
    "d": "01010d1311110f",
    "e": "00000e111f100e",
    "f": "0609081c080808",
    "g": "000f11110f010e",
    "h": "10101619111111",
    "i": "04000c0404040e",
    "j": "0200060202120c",
    "k": "10101214181412",
    "l": "0c04040404040e",
    "m": "00001a15151111",
    "n": "00001619111111",
    "o": "00000e1111110e",
    "p": "00001e111e1010",
    "q": "00000d130f0101",
    "r": "00001619101010",
    "s": "00000e100e011e",
    "t": "08081c08080906",
    "u": "0000111111130d",
    "v": "00001111110a04",
    "w": "0000111115150a",
    "x": "0000110a040a11",
    "y": "000011110f010e",
    "z": "00001f0204081f",
    "0": "0e11131519110e",
    "1": "040c040404040e",
    "2": "0e11010204081f",
    "3": "1f02040201110e",
    "4": "02060a121f0202",
    "5": "1f101e0101110e",
    "6": "0608101e11110e",
    "7": "1f010204080808",
    "8": "0e11110e11110e",
    "9": "0e11110f01020c",
    "_": "0000000000001f",
    "-": "0000001f000000",
}


def _rows(text: str, scale: int) -> list[bytes]:
    """The text as rows of luma, white on black, with a margin of one dot around it."""
    glyphs = [bytes.fromhex(_DOTS.get(letter, "00" * _HEIGHT)) for letter in text]
    dots = {False: bytes([_BLACK]) * scale, True: bytes([_WHITE]) * scale}
    blank = dots[False] * ((_WIDTH + 1) * len(text) + 1)
    rows = [blank] * scale
    for row in range(_HEIGHT):
        line = dots[False] + b"".join(
            b"".join(dots[bool(glyph[row] >> bit & 1)] for bit in range(_WIDTH - 1, -1, -1)) + dots[False]
            for glyph in glyphs
        )
        rows += [line] * scale
    return rows + [blank] * scale


def label(frame: av.VideoFrame, text: str) -> None:
    """Write `text` into the upper left corner of a writable yuv420p frame, as far as it fits."""
    rows = [row[: frame.width] for row in _rows(text, max(1, frame.height // 160))][: frame.height]
    colourless = [bytes([_COLOURLESS]) * ((len(row) + 1) // 2) for row in rows[::2]]
    for plane, lines in zip(frame.planes, (rows, colourless, colourless), strict=True):
        samples = memoryview(plane).cast("B")
        for number, line in enumerate(lines):
            begin = number * plane.line_size
            samples[begin : begin + len(line)] = line
