from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.storage.archive import Archive
from edge_agent.storage.metadata import box_bytes, encode_box, read_box
from edge_agent.storage.soundness import check_segment
from edge_agent.storage.tree import opened, reader_of
from tests.storage.footage import as_asked, now, record_segment, run_record, store


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three seconds of real H.264 in fragments of one second."""
    return record_segment(tmp_path_factory.mktemp("footage") / "one.mp4").read_bytes()


@pytest.fixture
def path(root: Path, archive: Archive, recorded: bytes) -> str:
    """A stored segment that is sound."""
    (stored,) = store(root, archive, run_record(), 1, as_asked(recorded))
    return stored


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize("every_byte", [False, True])
def test_a_stored_segment_is_sound_and_tells_what_it_is(root: Path, path: str, every_byte: bool) -> None:
    before = (root / path).stat()
    checked = check_segment(root, path, every_byte=every_byte)
    after = (root / path).stat()
    assert checked.damage is None
    assert checked.frames == 90
    assert checked.size_bytes == before.st_size
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    piece = checked.piece()
    assert piece is not None
    assert (piece.camera, piece.session, piece.mode, piece.index) == ("cam0", "session-1", "dual-640", 0)
    assert (piece.started_at, piece.duration_s) == (now().wall, 3.0)


@pytest.mark.parametrize("missing", [1, 300, 5000])
def test_a_file_that_was_cut_off_is_found(root: Path, path: str, missing: int) -> None:
    whole = check_segment(root, path).size_bytes
    os.truncate(root / path, whole - missing)
    damage = check_segment(root, path).damage
    assert damage is not None
    assert "makes no sense from byte" in damage


def test_every_single_place_where_a_file_can_be_cut_is_found(root: Path, path: str) -> None:
    size = check_segment(root, path).size_bytes
    for length in range(size - 1, 0, -997):
        os.truncate(root / path, length)
        assert check_segment(root, path).damage is not None


@pytest.mark.parametrize(("every_byte", "least"), [(False, 0.8), (True, 1.0)])
def test_a_sector_of_zeros_in_the_pictures_is_found(root: Path, path: str, every_byte: bool, least: float) -> None:
    size = check_segment(root, path).size_bytes
    content = (root / path).read_bytes()
    offsets = range(2000, size - 5000, 1499)
    found = 0
    for offset in offsets:
        overwrite(root / path, offset, bytes(4096))
        found += check_segment(root, path, every_byte=every_byte).damage is not None
        (root / path).write_bytes(content)
    assert found >= least * len(offsets)


def test_an_empty_file_a_stranger_and_a_gone_one_are_told_apart(root: Path, path: str) -> None:
    os.truncate(root / path, 0)
    assert check_segment(root, path).damage == "is empty"
    (root / path).write_bytes(b"no movie at all" * 100)
    assert check_segment(root, path).damage == "does not begin like a segment: its header is damaged"
    (root / path).unlink()
    assert check_segment(root, path).damage == "went away while it was looked for"


def test_footage_without_its_description_is_told(root: Path, path: str) -> None:
    with opened(root / path) as descriptor:
        size = os.fstat(descriptor).st_size
        assert read_box(reader_of(descriptor), size) is not None
        length = int.from_bytes(os.pread(descriptor, 4, size - 4), "big")
    os.truncate(root / path, size - length)
    checked = check_segment(root, path)
    assert checked.damage is not None
    assert checked.damage.startswith("does not end with its description")
    assert checked.piece() is None


def test_a_copy_under_another_name_is_told(root: Path, path: str) -> None:
    other = path.replace("20261123T091500Z", "20201123T091500Z")
    (root / other).write_bytes((root / path).read_bytes())
    assert check_segment(root, other).damage == f"was stored as {path}, it is a copy or was renamed"


def test_another_picture_than_described_is_told(root: Path, archive: Archive, recorded: bytes) -> None:
    (stored,) = store(root, archive, run_record(), 1, recorded)
    assert check_segment(root, stored).damage == "shows 320x240 and says 640x480"


def test_a_link_is_not_followed(root: Path, path: str) -> None:
    (root / path).rename(root / "elsewhere.mp4")
    (root / path).symlink_to(root / "elsewhere.mp4")
    damage = check_segment(root, path).damage
    assert damage is not None
    assert damage.startswith("cannot be read")


def test_a_single_bit_that_changed_is_found_by_who_reads_every_byte(root: Path, path: str) -> None:
    size = check_segment(root, path).size_bytes
    with (root / path).open("rb") as file:
        content = file.read()
    at = content.index(b"mdat") + (size // 10)
    overwrite(root / path, at, bytes([content[at] ^ 1]))
    assert check_segment(root, path).damage is None
    damage = check_segment(root, path, every_byte=True).damage
    assert damage is not None
    assert "SHA-256" in damage


def test_a_file_of_an_agent_that_noted_no_digest_is_sound(root: Path, path: str) -> None:
    with opened(root / path) as descriptor:
        size = (root / path).stat().st_size
        facts = read_box(reader_of(descriptor), size)
        end = size - box_bytes(reader_of(descriptor), size)
    assert facts is not None
    assert len(facts.sha256) == 64
    os.truncate(root / path, end)
    with (root / path).open("ab") as file:
        file.write(encode_box(replace(facts, sha256="")))
    assert check_segment(root, path, every_byte=True).damage is None
