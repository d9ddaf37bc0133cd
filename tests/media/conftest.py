"""Real footage for the programs of this room: made once by ffmpeg, checked by ffprobe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
FPS = 30
GOP = 15
SEGMENT_S = 2
SEGMENTS = 3


def run_ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True, timeout=TIMEOUT_S)


def encode(path: Path, seconds: int, size: str = "320x240", options: tuple[str, ...] = ()) -> Path:
    """A moving test picture as H.264 in fragmented MP4, coded as the recorder does it."""
    fast = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", str(GOP))
    source = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r={FPS}", "-t", str(seconds))
    run_ffmpeg(*source, *fast, "-movflags", "frag_keyframe+delay_moov+default_base_moof", *options, path)
    return path


def module_argv(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", f"edge_agent.media.{name}", *map(str, arguments)]


def run_module(name: str, *arguments: str | Path, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    argv = module_argv(name, *arguments)
    return subprocess.run(argv, cwd=ROOT, input=data, capture_output=True, timeout=TIMEOUT_S, check=False)


def probe(path: Path, *options: str) -> dict[str, Any]:
    argv = ["ffprobe", "-v", "error", "-of", "json", *options, str(path)]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=TIMEOUT_S)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def packets_of(path: Path) -> list[dict[str, str]]:
    """Every packet with its time stamps and a hash of its bytes."""
    found: list[dict[str, str]] = probe(path, "-show_packets", "-show_data_hash", "md5")["packets"]
    return found


def hashes_of(path: Path) -> list[str]:
    return [packet["data_hash"] for packet in packets_of(path)]


def size_of(path: Path) -> tuple[int, int]:
    stream = probe(path, "-show_streams")["streams"][0]
    return stream["width"], stream["height"]


def pictures_of(path: Path) -> list[str]:
    """A hash of every decoded picture."""
    argv = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=TIMEOUT_S, text=True)
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


@dataclass(frozen=True)
class Footage:
    """One recording of `SEGMENTS` segments, each of `SEGMENT_S` seconds, and the same in one file."""

    whole: Path
    segments: list[Path]


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    folder = tmp_path_factory.mktemp("footage")
    whole = encode(folder / "whole.mp4", SEGMENT_S * SEGMENTS)
    cut = ("-c", "copy", "-f", "segment", "-segment_time", str(SEGMENT_S), "-reset_timestamps", "1")
    movflags = "movflags=+frag_keyframe+delay_moov+default_base_moof"
    run_ffmpeg("-i", whole, *cut, "-segment_format_options", movflags, folder / "segment%d.mp4")
    return Footage(whole, [folder / f"segment{number}.mp4" for number in range(SEGMENTS)])


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A reading and a writing end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)
