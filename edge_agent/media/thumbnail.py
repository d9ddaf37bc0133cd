"""A small JPEG of a segment.

    python -m edge_agent.media.thumbnail SEGMENT OUTPUT|- [--width 320] [--quality 75] [--at S]

Takes the key frame at or before S seconds. OUTPUT appears whole or not at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_agent.media import child
from edge_agent.media.pictures import JpegWriter
from edge_agent.media.sources import picture_of


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="edge_agent.media.thumbnail")
    parser.add_argument("segment", type=Path)
    parser.add_argument("output", help="a path, or - for stdout")
    parser.add_argument("--width", type=int, default=320, help="pixels at most, 0 for as recorded")
    parser.add_argument("--quality", type=int, default=75, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--at", type=float, default=0.0, help="seconds from the segment's beginning")
    options = parser.parse_args()

    def work() -> None:
        picture = picture_of(options.segment, options.at)
        child.deliver(JpegWriter(options.width, options.quality).write(picture), options.output)

    child.run(work)


if __name__ == "__main__":
    main()
