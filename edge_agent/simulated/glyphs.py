"""The letters that are burnt into the test picture: a font of 5x7 dots, as few as the clock line needs."""

from __future__ import annotations

WIDTH = 5
HEIGHT = 7

# One row of five dots for each number, the highest bit to the left.
_DOTS = {
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "M": (17, 27, 21, 21, 17, 17, 17),
    "-": (0, 0, 0, 31, 0, 0, 0),
    ":": (0, 4, 4, 0, 4, 4, 0),
    ".": (0, 0, 0, 0, 0, 12, 12),
    "#": (10, 10, 31, 10, 31, 10, 10),
    " ": (0, 0, 0, 0, 0, 0, 0),
}


class Font:
    """The font at one size, as rows of luma ready to be joined."""

    def __init__(self, scale: int, ink: int, paper: int) -> None:
        self.scale = scale
        dot = {0: bytes([paper]) * scale, 1: bytes([ink]) * scale}
        self._rows: list[dict[str, bytes]] = [
            {
                letter: b"".join(dot[dots[row] >> bit & 1] for bit in range(WIDTH - 1, -1, -1)) + dot[0]
                for letter, dots in _DOTS.items()
            }
            for row in range(HEIGHT)
        ]

    def lines(self, text: str) -> list[bytes]:
        """The seven rows of a text, each to be painted `scale` times. A letter the font lacks is a KeyError."""
        return [b"".join([row[letter] for letter in text]) for row in self._rows]
