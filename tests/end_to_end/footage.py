"""What lies in the archive, as a player sees it: sizes and times by ffprobe, and the frame numbers in the pictures."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import av

from edge_agent.simulated.picture import read_frame_number
from edge_agent.storage.metadata import Metadata, read_box
from edge_agent.storage.tree import reader_of
from tests.fakes.agent import RunningAgent


@dataclass(frozen=True, slots=True)
class Probed:
    """What ffprobe says of a file's picture."""

    width: int
    height: int
    fps: float
    duration_s: float
    frames: int
    codec: str


def probe(path: Path) -> Probed:
    """Read a whole file by ffprobe, which must not find anything to complain of."""
    entries = "stream=codec_name,width,height,avg_frame_rate,nb_read_packets,duration"
    command: list[str | Path] = [
        "ffprobe",
        "-v",
        "warning",
        "-count_packets",
        "-show_entries",
        entries,
        "-of",
        "json",
        path,
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == "", f"{path}: {done.stderr}"
    (stream,) = json.loads(done.stdout)["streams"]
    frames, seconds = (int(part) for part in stream["avg_frame_rate"].split("/"))
    return Probed(
        stream["width"],
        stream["height"],
        frames / seconds,
        float(stream["duration"]),
        int(stream["nb_read_packets"]),
        stream["codec_name"],
    )


def metadata(path: Path) -> Metadata:
    """What a stored segment says of itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = read_box(reader_of(descriptor), path.stat().st_size)
    finally:
        os.close(descriptor)
    assert found is not None, f"{path} says nothing of itself"
    return found


def frame_numbers(path: Path) -> list[int | None]:
    """The number painted into each frame of a file, in order; None for a frame without one."""
    numbers: list[int | None] = []
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            numbers.append(read_frame_number(memoryview(plane), frame.width, frame.height, plane.line_size))
    return numbers


def stored_runs(agent: RunningAgent, camera: str) -> list[list[Path]]:
    """The stored segments of a camera in order, one list for each life of its recorder."""
    told = sorted(((metadata(path), path) for path in agent.stored(camera)), key=lambda one: _order(one[0]))
    return [[path for _, path in life] for _, life in groupby(told, key=lambda one: one[0].run_id)]


def runs(agent: RunningAgent, camera: str) -> list[list[int | None]]:
    """All frame numbers that are stored of a camera: one list for each life of its recorder, in order."""
    return [[number for path in paths for number in frame_numbers(path)] for paths in stored_runs(agent, camera)]


def assert_gapless(agent: RunningAgent, camera: str) -> list[int]:
    """See that every life of the camera's recorder is stored from its first frame on, none missing and none twice.

    Returns how many frames each one has.
    """
    found = runs(agent, camera)
    for numbers in found:
        assert numbers == list(range(1, len(numbers) + 1)), f"{camera}: {_trouble(numbers)}"
    return [len(numbers) for numbers in found]


def _order(said: Metadata) -> tuple[int, int]:
    return said.sequence, said.index


def _trouble(numbers: list[int | None]) -> str:
    wrong = [(place, number) for place, number in enumerate(numbers, 1) if number != place]
    return f"{len(numbers)} frames, the first wrong ones (place, number): {wrong[:5]}"
