from __future__ import annotations

from pathlib import Path

import av
import pytest

from edge_agent.media.unit import Assembler, Unit
from tests.media.conftest import GOP, SEGMENT_S, Footage, encode, run_ffmpeg

PIECE_BYTES = 200 * 1024


def read(path: Path, *, parsed: bool) -> list[Unit]:
    with av.open(str(path), options={} if parsed else {"fflags": "noparse"}) as container:
        units = [Unit.of(packet) if parsed else Unit.unparsed(packet, 0) for packet in container.demux()]
    return [unit for unit in units if unit is not None]


def test_keys_are_found_without_a_parser_as_with_one(tmp_path: Path) -> None:
    """Also where a picture has several slices, as the recorder's have."""
    stream = tmp_path / "stream.ts"
    sliced = encode(tmp_path / "sliced.mp4", 2, options=("-x264-params", "slices=4"))
    run_ffmpeg("-i", sliced, "-c", "copy", stream)
    parsed, unparsed = read(stream, parsed=True), read(stream, parsed=False)
    assert [(unit.pts, unit.key, unit.data) for unit in unparsed] == [
        (unit.pts, unit.key, unit.data) for unit in parsed
    ]
    assert sum(unit.key for unit in unparsed) == len(unparsed) / GOP


@pytest.mark.parametrize("noise", ["noise=alls=100", "noise=alls=100:allf=t"], ids=["keys", "all pictures"])
def test_pictures_larger_than_libavformat_hands_out_are_put_together(tmp_path: Path, noise: str) -> None:
    """It cuts them at 200 KiB; without the rest the lower part of a rich key frame is missing."""
    stream = tmp_path / "stream.ts"
    rich = encode(tmp_path / "rich.mp4", 1, "640x480", ("-vf", noise, "-qp", "4", "-x264-params", "slices=2"))
    run_ffmpeg("-i", rich, "-c", "copy", stream)
    assembler = Assembler()
    with av.open(str(stream), options={"fflags": "noparse"}) as container:
        joined = [unit for packet in container.demux() for unit in assembler.take(packet, 0)]
    parsed = read(stream, parsed=True)
    assert [(unit.pts, unit.key, unit.data) for unit in joined] == [(unit.pts, unit.key, unit.data) for unit in parsed]
    assert max(len(unit.data) for unit in joined) > PIECE_BYTES


def test_the_rest_of_a_torn_picture_is_left_out() -> None:
    assembler = Assembler()
    rest = av.Packet(b"rest of a picture whose begin nobody has")
    assert assembler.take(rest, 0) == []
    assert assembler.take(av.Packet(), 0) == []


def test_a_packet_made_of_a_unit_is_the_packet_it_was(footage: Footage) -> None:
    for unit in read(footage.segments[0], parsed=True)[: SEGMENT_S * GOP]:
        assert Unit.of(unit.packet()) == unit


def test_an_empty_packet_is_no_unit() -> None:
    assert Unit.of(av.Packet()) is None
    assert Unit.unparsed(av.Packet(), 0) is None
