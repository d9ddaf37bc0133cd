"""The frame number as a row of black and white blocks: written into every test picture, read back by tests.

The row lies across the top of the picture, one twentieth of its height. It has 40 cells; from the fourth on: white and
black as reference, 24 bits of the number with the highest first, 6 bits of check, black and black. All of it is in
proportion to the picture, so it is read as well from a scaled copy, and blocks of this size outlive x264 and JPEG.
"""

from __future__ import annotations

CELLS = 40
MAXIMUM = (1 << 24) - 1
_FIRST_CELL = 3
_NUMBER_BITS = 24
_CHECK_BITS = 6
_WHITE = 235
_BLACK = 16
# Less than this between white and black is no bar code but a grey picture.
_LEAST_CONTRAST = 60


def height(picture_height: int) -> int:
    """Rows of the bar code."""
    return max(2, picture_height // 20)


def row(number: int, width: int) -> bytes:
    """One line of luma, `width` long, with the bar code for `number` (modulo 2**24)."""
    number &= MAXIMUM
    cells = [0] * _FIRST_CELL + _cells(number)
    cells += [0] * (CELLS - len(cells))
    shades = (bytes([_BLACK]), bytes([_WHITE]))
    return b"".join(
        [shades[cell] * ((i + 1) * width // CELLS - i * width // CELLS) for i, cell in enumerate(cells)],
    )


def read_frame_number(
    luma: bytes | bytearray | memoryview, width: int, height: int, stride: int | None = None
) -> int | None:
    """The number of the frame whose luma plane this is, or None if it shows no readable bar code.

    `stride` is the length of a line in memory, `width` when absent. Pictures that were mirrored or turned upside down
    by `--hflip`, `--vflip` or `--rotation 180` are read as well. Any size from 160x120 on, scaled or not.
    """
    step = width if stride is None else stride
    if width < CELLS or len(luma) < step * (height - 1) + width:
        return None
    middle = max(1, height // 40)
    for y in (middle, height - 1 - middle):
        line = bytes(luma[y * step : y * step + width])
        for candidate in (line, line[::-1]):
            number = _decode(candidate)
            if number is not None:
                return number
    return None


def _check(number: int) -> int:
    return (number + 7) % 61


def _cells(number: int) -> list[int]:
    bits = [number >> bit & 1 for bit in range(_NUMBER_BITS - 1, -1, -1)]
    check = _check(number)
    return [1, 0, *bits, *(check >> bit & 1 for bit in range(_CHECK_BITS - 1, -1, -1)), 0, 0]


def _decode(line: bytes) -> int | None:
    count = _NUMBER_BITS + _CHECK_BITS + 4
    levels = [_level(line, cell) for cell in range(_FIRST_CELL, _FIRST_CELL + count)]
    white, black = levels[0], levels[1]
    if white - black < _LEAST_CONTRAST:
        return None
    middle = (white + black) / 2
    bits = [int(level > middle) for level in levels]
    value = int("".join(map(str, bits[2:-2])), 2)
    number, check = value >> _CHECK_BITS, value & (1 << _CHECK_BITS) - 1
    return number if bits[-2:] == [0, 0] and check == _check(number) else None


def _level(line: bytes, cell: int) -> float:
    """The mean of the middle half of a cell."""
    first = cell * len(line) // CELLS
    last = (cell + 1) * len(line) // CELLS
    quarter = (last - first) // 4
    middle = line[first + quarter : max(first + quarter + 1, last - quarter)]
    return sum(middle) / len(middle)
