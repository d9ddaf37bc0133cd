from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import pytest

from edge_agent.media.copier import Copier, mime_type
from edge_agent.media.sources import open_video, units_of
from edge_agent.media.unit import Unit
from edge_agent.tapframes import TapFrame, TapFrames
from tests.media.conftest import FPS, GOP, Footage, hashes_of, packets_of, run_ffmpeg


class Reader:
    """The agent's end: parses what it takes, and takes only what it is told to."""

    def __init__(self) -> None:
        self.frames: list[TapFrame] = []
        self.takes: Callable[[], bool] = lambda: True
        self._parser = TapFrames()

    def take(self, data: bytes) -> bool:
        if self.takes():
            self.frames += self._parser.feed(data)
            return True
        return False

    @property
    def kinds(self) -> str:
        return "".join(frame.kind.value.decode() for frame in self.frames)


@pytest.fixture(params=["mp4", "ts"])
def recording(request: pytest.FixtureRequest, footage: Footage, tmp_path: Path) -> Path:
    """The same pictures as they are stored and as the recorder sends them."""
    if request.param == "mp4":
        return footage.whole
    path = tmp_path / "whole.ts"
    run_ffmpeg("-i", footage.whole, "-c", "copy", path)
    return path


@pytest.fixture
def stream(recording: Path) -> Iterator[tuple[av.VideoStream, list[Unit]]]:
    container, video = open_video(recording)
    with container:
        yield video, [replace(unit, arrived_us=unit.dts) for unit in units_of(container, video)]


def test_the_copy_is_one_fragment_a_picture_and_plays(
    stream: tuple[av.VideoStream, list[Unit]], footage: Footage, tmp_path: Path
) -> None:
    template, units = stream
    reader = Reader()
    copier = Copier(template, reader.take)
    for unit in units:
        copier.write(unit)
    copier.close()
    assert reader.kinds == "mi" + ("k" + "f" * (GOP - 1)) * (len(units) // GOP)
    assert [frame.arrived_us for frame in reader.frames[2:]] == [unit.arrived_us for unit in units]
    assert all(frame.payload[4:8] == b"moof" for frame in reader.frames[2:])
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(b"".join(frame.payload for frame in reader.frames[1:]))
    times = [float(packet["dts_time"]) for packet in packets_of(copy)]
    assert times == pytest.approx([number / FPS for number in range(len(units))], abs=0.002)
    if template.codec_context.extradata[:1] == b"\x01":
        assert hashes_of(copy) == hashes_of(footage.whole)


def test_the_copy_begins_at_a_key_frame(stream: tuple[av.VideoStream, list[Unit]]) -> None:
    template, units = stream
    reader = Reader()
    copier = Copier(template, reader.take)
    for unit in units[7 : GOP + 3]:
        copier.write(unit)
    assert reader.kinds == "mikf"
    assert reader.frames[2].arrived_us == units[GOP].arrived_us


def test_a_reader_that_falls_behind_goes_on_at_the_next_key_frame(
    stream: tuple[av.VideoStream, list[Unit]],
) -> None:
    template, units = stream
    reader = Reader()
    copier = Copier(template, reader.take)
    for number, unit in enumerate(units[: 3 * GOP]):
        reader.takes = lambda number=number: not 5 < number < GOP - 3  # type: ignore[misc]
        copier.write(unit)
    copier.close()
    assert reader.kinds == "mikffff" + 2 * ("k" + "f" * (GOP - 1))


def test_the_type_and_the_initialization_are_never_lost(stream: tuple[av.VideoStream, list[Unit]]) -> None:
    template, units = stream
    reader = Reader()
    copier = Copier(template, reader.take)
    for number, unit in enumerate(units[: 2 * GOP]):
        reader.takes = lambda number=number: number > 3  # type: ignore[misc]
        copier.write(unit)
    copier.close()
    assert reader.kinds == "mik" + "f" * (GOP - 1)


@pytest.mark.parametrize("jump_s", [-1.0, 60.0])
def test_another_timeline_is_another_stream(stream: tuple[av.VideoStream, list[Unit]], jump_s: float) -> None:
    template, units = stream
    reader = Reader()
    copier = Copier(template, reader.take)
    ticks = round(jump_s / units[0].time_base)
    for unit in units[: GOP + 4] + [
        replace(unit, pts=unit.pts + ticks, dts=unit.dts + ticks) for unit in units[GOP + 4 : 3 * GOP]
    ]:
        copier.write(unit)
    copier.close()
    assert reader.kinds == "mik" + "f" * (GOP - 1) + "kfff" + "mik" + "f" * (GOP - 1)


def test_the_mime_type_names_profile_and_level(stream: tuple[av.VideoStream, list[Unit]]) -> None:
    template, _ = stream
    assert mime_type(template.codec_context.extradata) == 'video/mp4; codecs="avc1.42C00D"'


@pytest.mark.parametrize("extradata", [None, b"", b"\x01\x42", b"\0\0\0\1\x68\xce\x3c\x80", b"\0\0\1\x67"])
def test_a_stream_without_a_profile_has_no_mime_type(extradata: bytes | None) -> None:
    with pytest.raises(ValueError, match="profile"):
        mime_type(extradata)
