"""What lies on disk, opened: the units and the pictures of a segment, whole or still being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from edge_agent.media.child import Failed
from edge_agent.media.pictures import read_jpeg
from edge_agent.media.unit import Unit

_SOI = b"\xff\xd8"


def open_video(path: Path) -> tuple[av.container.InputContainer, av.VideoStream]:
    """An open file and its picture stream; the caller closes the container. Raises `Failed`, naming the file."""
    try:
        # The file's name is never read as a URL of another protocol.
        container = av.open(f"file:{path}", "r")
    except (av.error.FFmpegError, OSError) as error:
        raise Failed(f"{path}: {error}") from error
    streams = container.streams.video
    if not streams or streams[0].codec_context.name != "h264":
        container.close()
        raise Failed(f"{path}: holds no H.264")
    return container, streams[0]


def units_of(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[Unit]:
    """The whole units of a file, in decoding order.

    A file that is torn, or still being written, ends after its last whole unit; what follows a damaged place begins at
    the next key frame.
    """
    whole = True
    try:
        for packet in container.demux(stream):
            unit = Unit.of(packet)
            whole = unit is not None and (whole or unit.key)
            if unit is not None and whole:
                yield unit
    except av.error.FFmpegError:
        return


def picture_of(path: Path, at_s: float = 0.0) -> av.VideoFrame:
    """The picture of a JPEG, or of a segment the key frame at or before `at_s` seconds. Raises `Failed`."""
    with path.open("rb") as file:
        if file.read(2) == _SOI:
            try:
                return read_jpeg(_SOI + file.read())
            except Failed as error:
                raise Failed(f"{path}: {error}") from error
    container, stream = open_video(path)
    with container:
        if at_s > 0:
            container.seek(int(at_s / stream.time_base), stream=stream)
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        try:
            for frame in container.decode(stream):
                return frame
        except av.error.FFmpegError as error:
            raise Failed(f"{path}: {error}") from error
    raise Failed(f"{path}: no picture can be decoded")
