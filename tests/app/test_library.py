"""What a window of footage is refused for, with an archive of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.app.disk import Disk
from edge_agent.app.library import Library
from edge_agent.app.recording import OpenFootage
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Profile, RunRecord
from edge_agent.host.clock import Clock
from edge_agent.storage.archive import Archive
from tests.storage.footage import AT, as_asked, now, record_segment, run_record, segment, store

HOUR = timedelta(hours=1)


class Shelf:
    """An archive and a library over it; `written` is what cam0 is recording now."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        self.archive = Archive(self.root, directory / "state")
        self.archive.reconcile()
        self.written: list[OpenFootage] = []
        self.disk = Disk("footage", Clock())
        self.library = Library(self.archive, self.root, self.disk, ("cam0", "cam1"), lambda _: self.written)


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.disk.close()
    shelf.archive.close()


def in_hd(record: RunRecord) -> RunRecord:
    return replace(record, run=replace(record.run, profile=Profile(1280, 720, 30, 3_000_000)))


async def test_a_window_is_made_of_what_is_stored_and_what_is_being_written(shelf: Shelf) -> None:
    paths = store(shelf.root, shelf.archive, run_record(), 2)
    shelf.written = [OpenFootage(2, shelf.root / "open.mp4", AT + timedelta(seconds=4), (640, 480))]
    pieces = await shelf.library.pieces("cam0", AT, AT + HOUR)
    assert not isinstance(pieces, Refusal)
    assert [path for path, _ in pieces] == [shelf.root / path for path in paths] + [shelf.root / "open.mp4"]


async def test_a_window_with_pictures_of_two_sizes_is_refused_before_a_byte_is_sent(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(), 1)
    store(shelf.root, shelf.archive, in_hd(run_record(2, first=now(60))), 1, segment(width=1280, height=720))
    clip = await shelf.library.clip("cam0", AT, AT + HOUR)
    assert isinstance(clip, Refusal)
    assert clip.code is Code.OUT_OF_RANGE
    assert "640x480 and 1280x720" in clip.message


async def test_what_is_being_written_in_another_size_is_refused_too(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(), 1)
    shelf.written = [OpenFootage(0, shelf.root / "open.mp4", AT + timedelta(seconds=4), (1280, 720))]
    refusal = await shelf.library.pieces("cam0", AT, AT + HOUR)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.OUT_OF_RANGE


async def test_footage_of_a_camera_that_is_configured_no_more_can_still_be_cut(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(camera="cam7"), 1)
    assert not isinstance(await shelf.library.pieces("cam7", AT, AT + HOUR), Refusal)


@pytest.mark.parametrize(("camera", "code"), [("cam1", Code.NOT_FOUND), ("cam9", Code.UNKNOWN_CAMERA)])
async def test_a_window_without_footage_is_told_from_a_camera_that_never_was(
    shelf: Shelf, camera: str, code: Code
) -> None:
    refusal = await shelf.library.pieces(camera, AT, AT + HOUR)
    assert isinstance(refusal, Refusal)
    assert refusal.code is code


async def test_a_stored_file_is_sound_until_something_cuts_it_off(shelf: Shelf, tmp_path: Path) -> None:
    (path,) = store(
        shelf.root, shelf.archive, run_record(), 1, as_asked(record_segment(tmp_path / "one.mp4").read_bytes())
    )
    whole = await shelf.library.verify(path)
    assert not isinstance(whole, Refusal)
    assert (whole.path, whole.damage) == (path, None)
    with (shelf.root / path).open("r+b") as file:
        file.truncate(whole.size_bytes // 2)
    cut_off = await shelf.library.verify(path)
    assert not isinstance(cut_off, Refusal)
    assert cut_off.damage is not None


async def test_a_file_that_the_archive_does_not_know_is_not_looked_at(shelf: Shelf) -> None:
    refusal = await shelf.library.verify("640x480/cam0/blackbox_cam0_640_20260101T000000Z.mp4")
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.NOT_FOUND
