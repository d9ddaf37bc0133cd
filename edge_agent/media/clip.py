"""One MP4 of several segments, without re-encoding and without holding it in memory.

    python -m edge_agent.media.clip OUTPUT|- SEGMENT... [--from S] [--to S]

S counts from the beginning of the first (--from) and of the last segment (--to). The clip begins with the key frame at
or before the one and ends before the key frame at or after the other, with every picture between them once; a segment
may still be in writing. A pause between two segments is not played. A file is written with its index in front, ready to
be played while it is loaded; stdout gets fragmented MP4, which needs no way back.

At the end one JSON line tells of the clip, on stdout, or on stderr where stdout is the clip: {"frames", "duration_s",
"begins_s", "unreadable"}: `begins_s` is how far into its segment the clip's first picture is, `unreadable` lists the
files that had to be left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from edge_agent.media import child
from edge_agent.media.child import Failed
from edge_agent.media.sources import open_video, units_of
from edge_agent.media.unit import Unit

_FILE_OPTIONS = {"movflags": "faststart"}
_PIPE_OPTIONS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}

_ROUNDING_S = 0.001
"""A picture that is shown for so short a time within the window is not in it: offsets are rounded decimals."""


def cut(units: Iterable[Unit], from_s: float, to_s: float | None) -> Iterator[Unit]:
    """The units of the fragments that touch `from_s` to `to_s`, counted from the first unit. Holds one fragment."""
    held: list[Unit] = []
    zero_s: float | None = None
    begun = False
    for unit in units:
        zero_s = unit.time_s if zero_s is None else zero_s
        time_s = unit.time_s - zero_s
        if unit.key:
            if to_s is not None and time_s >= to_s:
                break
            begun |= time_s >= from_s
            held = []
        if begun:
            yield unit
            continue
        held.append(unit)
        if time_s + float(unit.duration * unit.time_base) > from_s + _ROUNDING_S:
            begun = True
            yield from held


class Joiner:
    """Writes the units of one segment after another with timestamps that go on.

    The first segment says what the clip is; `add` raises `Failed` for one whose pictures differ in kind.
    """

    def __init__(self, output: Path | None) -> None:
        """Write to a file or, for None, to stdout."""
        self.frames = 0
        self.begins_s = 0.0
        self._output = output
        self._container: av.container.OutputContainer | None = None
        self._shape: tuple[int, int, bytes | None] | None = None
        self._end = Fraction(0)

    @property
    def duration_s(self) -> float:
        return float(self._end)

    def add(self, path: Path, stream: av.VideoStream, units: Iterator[Unit]) -> None:
        """Write all `units` of a file's `stream`."""
        context = stream.codec_context
        shape = (context.width, context.height, context.extradata)
        shift: Fraction | None = None
        step = Fraction(0)
        for unit in units:
            container = self._container or self._open(stream, shape)
            if shape != self._shape:
                raise Failed(f"{path}: {shape[0]}x{shape[1]} of another kind than the segments before it")
            dts = unit.dts * unit.time_base
            shift = self._end - dts if shift is None else shift
            step = unit.duration * unit.time_base or step
            time_base = Fraction(stream.time_base)
            moved = replace(
                unit,
                pts=round((unit.pts * unit.time_base + shift) / time_base),
                dts=round((dts + shift) / time_base),
                duration=round(step / time_base),
                time_base=time_base,
            )
            packet = moved.packet()
            packet.stream = container.streams.video[0]
            container.mux(packet)
            self._end = dts + shift + step
            if not self.frames:
                self.begins_s = unit.time_s
            self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._container is not None:
            self._container.close()

    def _open(self, template: av.VideoStream, shape: tuple[int, int, bytes | None]) -> av.container.OutputContainer:
        url, options = (f"file:{self._output}", _FILE_OPTIONS) if self._output else ("pipe:1", _PIPE_OPTIONS)
        container = self._container = av.open(url, "w", format="mp4", options=options)
        container.add_stream_from_template(template).time_base = template.time_base
        self._shape = shape
        return container


def join(segments: Sequence[Path], output: Path | None, from_s: float, to_s: float | None) -> dict[str, object]:
    """Write the clip and return the closing line. Raises `Failed` when there is nothing to write."""
    joiner = Joiner(output)
    unreadable: list[str] = []
    try:
        for number, path in enumerate(segments, start=1):
            try:
                container, stream = open_video(path)
            except Failed:
                unreadable.append(str(path))
                continue
            with container:
                units = units_of(container, stream)
                chosen = cut(units, from_s if number == 1 else 0.0, to_s if number == len(segments) else None)
                joiner.add(path, stream, chosen)
    finally:
        joiner.close()
    if not joiner.frames:
        raise Failed("no picture in this window")
    return {
        "frames": joiner.frames,
        "duration_s": round(joiner.duration_s, 3),
        "begins_s": round(joiner.begins_s, 3),
        "unreadable": unreadable,
    }


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="edge_agent.media.clip")
    parser.add_argument("output", help="a path, or - for stdout")
    parser.add_argument("segments", type=Path, nargs="+", metavar="SEGMENT")
    parser.add_argument("--from", dest="from_s", type=float, default=0.0, help="seconds into the first segment")
    parser.add_argument("--to", dest="to_s", type=float, default=None, help="seconds into the last segment")
    options = parser.parse_args()

    def work() -> None:
        if options.output == child.STDOUT:
            print(json.dumps(join(options.segments, None, options.from_s, options.to_s)), file=sys.stderr)
            return
        with child.whole_file(Path(options.output)) as part:
            closing = join(options.segments, part, options.from_s, options.to_s)
        print(json.dumps(closing), flush=True)

    child.run(work)


if __name__ == "__main__":
    main()
