from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.media.conftest import (
    FPS,
    GOP,
    ROOT,
    SEGMENT_S,
    Footage,
    encode,
    hashes_of,
    module_argv,
    packets_of,
    probe,
    run_module,
)

SEGMENT_FRAMES = SEGMENT_S * FPS


def make_clip(output: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run the program and return its closing line."""
    done = run_module("clip", output, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def assert_even_times(path: Path) -> None:
    times = [float(packet["dts_time"]) for packet in packets_of(path)]
    assert times[0] == 0
    assert all(abs(later - earlier - 1 / FPS) < 0.001 for earlier, later in pairwise(times))


def test_whole_segments_are_joined_with_every_picture_once(footage: Footage, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    closing = make_clip(clip, *footage.segments)
    assert hashes_of(clip) == hashes_of(footage.whole)
    assert_even_times(clip)
    assert closing == {"frames": 180, "duration_s": 6.0, "begins_s": 0.0, "unreadable": []}


@pytest.mark.parametrize(
    ("from_s", "to_s", "first", "end"),
    [
        (0.0, 0.1, 0, GOP),
        (0.5, 1.5, GOP, 3 * GOP),
        (0.6, 1.4, GOP, 3 * GOP),
        (1.99, 0.0, SEGMENT_FRAMES - GOP, SEGMENT_FRAMES),
    ],
)
def test_a_window_takes_the_fragments_it_touches(
    footage: Footage, tmp_path: Path, from_s: float, to_s: float, first: int, end: int
) -> None:
    """`to_s` counts in the third segment; the second lies between, whole."""
    clip = tmp_path / "clip.mp4"
    closing = make_clip(clip, *footage.segments, "--from", str(from_s), "--to", str(to_s))
    assert hashes_of(clip) == hashes_of(footage.whole)[first : 2 * SEGMENT_FRAMES + (end if to_s else 0)]
    assert_even_times(clip)
    assert closing["begins_s"] == pytest.approx(first / FPS, abs=0.001)


def test_a_window_inside_one_segment(footage: Footage, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, footage.segments[1], "--from", "0.7", "--to", "0.9")
    assert hashes_of(clip) == hashes_of(footage.segments[1])[GOP : 2 * GOP]


def test_a_file_is_ready_to_be_played_while_it_is_loaded(footage: Footage, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    make_clip(clip, *footage.segments)
    data = clip.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    assert float(probe(clip, "-show_format")["format"]["duration"]) == pytest.approx(6.0, abs=0.001)
    assert list(tmp_path.iterdir()) == [clip]


def test_stdout_gets_the_same_pictures_as_a_stream(footage: Footage, tmp_path: Path) -> None:
    done = run_module("clip", "-", *footage.segments)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(done.stdout)
    assert hashes_of(clip) == hashes_of(footage.whole)
    assert_even_times(clip)


def test_a_segment_still_in_writing_gives_its_whole_pictures(footage: Footage, tmp_path: Path) -> None:
    open_segment = tmp_path / "open.mp4"
    data = footage.segments[1].read_bytes()
    open_segment.write_bytes(data[: len(data) * 2 // 3])
    clip = tmp_path / "clip.mp4"
    closing = make_clip(clip, footage.segments[0], open_segment)
    written = hashes_of(clip)
    assert SEGMENT_FRAMES + GOP < len(written) < 2 * SEGMENT_FRAMES
    assert written == hashes_of(footage.whole)[: len(written)]
    assert closing["unreadable"] == []


def test_an_unreadable_segment_is_left_out_and_named(footage: Footage, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    gone = tmp_path / "gone.mp4"
    clip = tmp_path / "clip.mp4"
    closing = make_clip(clip, footage.segments[0], empty, gone, footage.segments[2])
    assert closing["unreadable"] == [str(empty), str(gone)]
    assert hashes_of(clip) == hashes_of(footage.segments[0]) + hashes_of(footage.segments[2])
    assert_even_times(clip)


def test_pictures_of_another_size_are_refused_and_no_file_is_left(footage: Footage, tmp_path: Path) -> None:
    larger = encode(tmp_path / "larger.mp4", 1, size="640x480")
    done = run_module("clip", tmp_path / "clip.mp4", footage.segments[0], larger)
    assert done.returncode == 1
    assert b"640x480" in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == [larger]


def test_a_window_without_pictures_is_a_failure(footage: Footage, tmp_path: Path) -> None:
    done = run_module("clip", tmp_path / "clip.mp4", footage.segments[0], "--from", "9")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, b"no picture in this window")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_looks_like_an_address_is_a_file(footage: Footage, tmp_path: Path) -> None:
    odd = tmp_path / "concat:a|b%d.mp4"
    odd.symlink_to(footage.segments[0])
    done = run_module("clip", tmp_path / "pipe:%03d.mp4", odd)
    assert done.returncode == 0, done.stderr
    assert hashes_of(odd) == hashes_of(tmp_path / "pipe:%03d.mp4")


def test_a_reader_that_leaves_ends_the_program_quietly(footage: Footage) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = module_argv("clip", "-", *footage.segments * 20)
    done = subprocess.run(argv, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert done.stderr == b""


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    heavy = encode(tmp_path / "heavy.mp4", 4, size="640x480", options=("-b:v", "20M", "-minrate", "20M"))
    peaks = []
    for count in (1, 16):
        argv = module_argv("clip", tmp_path / "clip.mp4", *[heavy] * count)
        code = f"import os, sys; argv = {argv!r}; os.execv(argv[0], argv)"
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        peaks.append(usage.ru_maxrss * 1024)
    grown_bytes = (tmp_path / "clip.mp4").stat().st_size * 15 / 16
    assert grown_bytes > 30_000_000
    assert peaks[1] - peaks[0] < grown_bytes / 4
