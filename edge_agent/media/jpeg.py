"""Small JPEGs of large ones, for previews.

    python -m edge_agent.media.jpeg [--width 320] [--quality 70] [--framed]

One JPEG from stdin to stdout; or, framed, one after another until stdin ends, each way with its length before it (4
bytes, big endian; 0 for a picture that could not be read): one child then serves all previews at 1 ms instead of 100 ms
of a start each.
"""

from __future__ import annotations

import argparse
import struct
import sys
from typing import BinaryIO

from edge_agent.media import child
from edge_agent.media.pictures import JpegWriter, read_jpeg

_LENGTH = struct.Struct(">I")


def serve(inlet: BinaryIO, outlet: BinaryIO, writer: JpegWriter) -> None:
    """Answer each framed JPEG of `inlet` until it ends."""
    while len(head := inlet.read(_LENGTH.size)) == _LENGTH.size:
        data = inlet.read(*_LENGTH.unpack(head))
        try:
            small = writer.write(read_jpeg(data))
        except child.Failed:
            small = b""
        outlet.write(_LENGTH.pack(len(small)) + small)
        outlet.flush()


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="edge_agent.media.jpeg")
    parser.add_argument("--width", type=int, default=320, help="pixels at most, 0 for as it comes")
    parser.add_argument("--quality", type=int, default=70, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--framed", action="store_true", help="many, each with its length before it")
    options = parser.parse_args()
    writer = JpegWriter(options.width, options.quality)

    def work() -> None:
        if options.framed:
            serve(sys.stdin.buffer, sys.stdout.buffer, writer)
        else:
            child.deliver(writer.write(read_jpeg(sys.stdin.buffer.read())), child.STDOUT)

    child.run(work)


if __name__ == "__main__":
    main()
