"""Pictures of several cameras side by side in one JPEG, each with its name.

    python -m edge_agent.media.compare OUTPUT|- NAME=PICTURE NAME=PICTURE... [--height 480] [--quality 85] [--at S]

A PICTURE is a JPEG or a segment, of which the key frame at or before S seconds is taken. All get the height of the
lowest, at most --height. OUTPUT appears whole or not at all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from edge_agent.media import child
from edge_agent.media.lettering import label
from edge_agent.media.pictures import JpegWriter
from edge_agent.media.sources import picture_of

_ONCE = Fraction(1, 1)
"""The time base of pictures that have no time."""


def side_by_side(named: Sequence[tuple[str, av.VideoFrame]], height: int) -> av.VideoFrame:
    """One frame of two or more, from left to right, all at the height of the lowest but at most `height`."""
    height = min([height, *(frame.height for _, frame in named)]) // 2 * 2
    graph = av.filter.Graph()
    stack = graph.add("hstack", f"inputs={len(named)}")
    inputs = []
    for number, (name, frame) in enumerate(named):
        width = max(2, round(frame.width * height / frame.height / 2) * 2)
        picture = frame.reformat(width, height, "yuv420p", dst_color_range="MPEG")
        picture.make_writable()
        label(picture, name)
        picture.pts, picture.time_base = 0, _ONCE
        source = graph.add_buffer(width=width, height=height, format="yuv420p", time_base=_ONCE)
        source.link_to(stack, 0, number)
        inputs.append((source, picture))
    sink = graph.add("buffersink")
    stack.link_to(sink)
    graph.configure()  # before the first push, or libavfilter crashes
    for source, picture in inputs:
        source.push(picture)
    return sink.pull()


def _named_picture(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PICTURE")
    return name, Path(path)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="edge_agent.media.compare")
    parser.add_argument("output", help="a path, or - for stdout")
    parser.add_argument("pictures", type=_named_picture, nargs="+", metavar="NAME=PICTURE")
    parser.add_argument("--height", type=int, default=480, help="pixels at most")
    parser.add_argument("--quality", type=int, default=85, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--at", type=float, default=0.0, help="seconds from each segment's beginning")
    options = parser.parse_args()
    if len(options.pictures) < 2:
        parser.error("two pictures or more can be compared")

    def work() -> None:
        named = [(name, picture_of(path, options.at)) for name, path in options.pictures]
        child.deliver(JpegWriter(0, options.quality).write(side_by_side(named, options.height)), options.output)

    child.run(work)


if __name__ == "__main__":
    main()
