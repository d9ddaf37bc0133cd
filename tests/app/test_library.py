"""What a window of footage is refused for, with an archive of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.app.disk import Disk
from edge_agent.app.library import HELD, Library, Reel
from edge_agent.app.recording import OpenFootage
from edge_agent.core.commands import Refusal
from edge_agent.core.model import Code, Profile, RunRecord
from edge_agent.host.clock import Clock
from edge_agent.storage.archive import Archive, Deleted
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

    def write(self, index: int, content: bytes, size: tuple[int, int] = (640, 480)) -> None:
        """Let cam0 write a segment, two seconds after the one before."""
        path = self.root / f"{index}.mp4"
        path.write_bytes(content)
        self.written = [OpenFootage(index, path, AT + timedelta(seconds=2 * index), size)]

    async def reel(self, camera: str) -> Reel:
        reel = await self.library.reel(camera, AT, AT + HOUR)
        assert isinstance(reel, Reel)
        return reel


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.disk.close()
    shelf.archive.close()


def _is_open(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").exists()


def in_hd(record: RunRecord) -> RunRecord:
    return replace(record, run=replace(record.run, profile=Profile(1280, 720, 30, 3_000_000)))


async def test_a_window_is_made_of_what_is_stored_and_what_is_being_written(shelf: Shelf) -> None:
    paths = store(shelf.root, shelf.archive, run_record(), 2)
    shelf.write(2, b"being written")
    shelf.written.append(OpenFootage(1, shelf.root / "stored since.mp4", AT + timedelta(seconds=2), (640, 480)))
    with closing(await shelf.reel("cam0")) as reel:
        names = [path.readlink() for path, _ in reel.pieces]
        assert names == [shelf.root / path for path in paths] + [shelf.root / "2.mp4"]
        assert [started_at for _, started_at in reel.pieces] == [AT + timedelta(seconds=at) for at in (0, 2, 4)]


async def test_what_a_clip_is_made_of_can_be_read_though_it_is_stored_and_deleted_meanwhile(shelf: Shelf) -> None:
    (path,) = store(shelf.root, shelf.archive, run_record(), 1)
    content = (shelf.root / path).read_bytes()
    shelf.write(1, b"being written")
    with closing(await shelf.reel("cam0")) as reel:
        assert shelf.archive.delete(path) is Deleted.DELETED
        (shelf.root / "1.mp4").rename(shelf.root / "stored.mp4")
        assert [path.read_bytes() for path, _ in reel.pieces] == [content, b"being written"]
        taken = list(reel.descriptors)
    assert [_is_open(descriptor) for descriptor in taken] == [False, False]
    assert isinstance(await shelf.library.reel("cam0", AT, AT + timedelta(seconds=1)), Refusal)


async def test_a_long_clip_does_not_take_all_descriptors(shelf: Shelf) -> None:
    paths = store(shelf.root, shelf.archive, run_record(), HELD + 5, segment(1, sample_bytes=1))
    with closing(await shelf.reel("cam0")) as reel:
        assert len(reel.descriptors) == HELD
        assert [path for path, _ in reel.pieces[HELD:]] == [shelf.root / path for path in paths[HELD:]]


async def test_a_window_with_pictures_of_two_sizes_is_refused_before_a_byte_is_sent(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(), 1)
    store(shelf.root, shelf.archive, in_hd(run_record(2, first=now(60))), 1, segment(width=1280, height=720))
    clip = await shelf.library.clip("cam0", AT, AT + HOUR)
    assert isinstance(clip, Refusal)
    assert clip.code is Code.OUT_OF_RANGE
    assert "640x480 and 1280x720" in clip.message


async def test_what_is_being_written_in_another_size_is_refused_too(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(), 1)
    shelf.write(2, b"being written", (1280, 720))
    refusal = await shelf.library.reel("cam0", AT, AT + HOUR)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.OUT_OF_RANGE


async def test_footage_of_a_camera_that_is_configured_no_more_can_still_be_cut(shelf: Shelf) -> None:
    store(shelf.root, shelf.archive, run_record(camera="cam7"), 1)
    (await shelf.reel("cam7")).close()


@pytest.mark.parametrize(("camera", "code"), [("cam1", Code.NOT_FOUND), ("cam9", Code.UNKNOWN_CAMERA)])
async def test_a_window_without_footage_is_told_from_a_camera_that_never_was(
    shelf: Shelf, camera: str, code: Code
) -> None:
    refusal = await shelf.library.reel(camera, AT, AT + HOUR)
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
