from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from edge_agent.storage.errors import StorageError, Trouble, storage_errors, trouble_of
from edge_agent.storage.tree import move_without_replacing, open_regular, opened, opened_folder


def test_a_file_is_read_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    with opened(tmp_path / "file") as descriptor:
        assert os.read(descriptor, 10) == b"content"
    for name in ("link", "fifo", "missing", "."):
        with pytest.raises(OSError, match=r"\w"):
            open_regular(tmp_path / name)


def test_refusing_what_is_no_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "fifo")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_folders_are_made_on_the_way_down(tmp_path: Path) -> None:
    with opened_folder(tmp_path, PurePosixPath("a/b/c"), create=True):
        assert (tmp_path / "a/b/c").is_dir()
    with pytest.raises(FileNotFoundError), opened_folder(tmp_path, PurePosixPath("a/x")):
        pass


def test_no_link_is_followed_on_the_way_down(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"\w"), opened_folder(tmp_path, PurePosixPath("link/below"), create=True):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


def without_hard_links(*args: Any, **kwargs: Any) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("hard_links", [True, False], ids=["hard links", "FAT"])
def test_a_taken_name_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", without_hard_links)
    (tmp_path / "new").write_text("new")
    (tmp_path / "taken").write_text("old")
    (tmp_path / "dangling").symlink_to("nowhere")
    with opened_folder(tmp_path, PurePosixPath()) as folder:
        assert not move_without_replacing(tmp_path / "new", folder, "taken")
        assert not move_without_replacing(tmp_path / "new", folder, "dangling")
        assert move_without_replacing(tmp_path / "new", folder, "free")
    assert (tmp_path / "taken").read_text() == "old"
    assert (tmp_path / "free").read_text() == "new"
    assert (tmp_path / "new").exists() == hard_links


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (errno.ENOSPC, Trouble.FULL),
        (errno.EDQUOT, Trouble.FULL),
        (errno.EROFS, Trouble.READ_ONLY),
        (errno.EACCES, Trouble.DENIED),
        (errno.ENOENT, Trouble.VOLUME_MISSING),
        (errno.EIO, Trouble.IO_ERROR),
        (errno.ENODEV, Trouble.IO_ERROR),
        (None, Trouble.IO_ERROR),
    ],
)
def test_errors_are_told_apart_by_what_to_do_about_them(number: int | None, trouble: Trouble) -> None:
    cause = OSError(number, "reason") if number else OSError("reason")
    assert trouble_of(cause) is trouble
    with (
        pytest.raises(StorageError, match=r"cannot store a/b\.mp4: reason") as caught,
        storage_errors("store", "a/b.mp4"),
    ):
        raise cause
    assert (caught.value.trouble, caught.value.errno, caught.value.path) == (trouble, number, "a/b.mp4")
