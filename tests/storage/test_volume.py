from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.storage.claim import VolumeClaim
from edge_agent.storage.errors import StorageError, Trouble
from edge_agent.storage.volume import MARKER_NAME, Room, Volume, judged

ROOT = Path(__file__).parents[2]
LEFT = "left .edge-agent-volume 000000.mp4 run.json"
"""What lies on a small volume after things went wrong there: no halves of new files."""


@pytest.fixture
def volume(root: Path, state: Path) -> Volume:
    return Volume(root, state)


def test_a_volume_is_made_and_marked_the_first_time(volume: Volume, root: Path, state: Path) -> None:
    health = volume.check()
    assert (health.trouble, health.message) == (None, "")
    marker = json.loads((root / MARKER_NAME).read_text())["uuid"]
    assert json.loads((state / "volume.json").read_text())["uuid"] == marker
    assert Volume(root, state).check().trouble is None


def test_the_room_is_what_the_file_system_says(volume: Volume, root: Path) -> None:
    room = volume.check().room
    assert room is not None
    facts = os.statvfs(root)
    assert room.total_bytes == facts.f_blocks * facts.f_frsize
    assert 0 < room.free_bytes <= room.total_bytes
    assert room.state.total_bytes == room.total_bytes
    assert not room.read_only


def test_a_probe_syncs_and_leaves_nothing(volume: Volume, root: Path) -> None:
    health = volume.probe()
    assert health.trouble is None
    assert health.sync_ms is not None
    assert health.sync_ms > 0
    assert [path.name for path in root.iterdir()] == [MARKER_NAME]


def test_an_unmounted_volume_is_missing_and_nothing_is_written_in_its_place(volume: Volume, root: Path) -> None:
    volume.check()
    (root / MARKER_NAME).rename(root.parent / "elsewhere")
    for health in (volume.check(), volume.probe()):
        assert health.trouble is Trouble.VOLUME_MISSING
        assert str(root) in health.message
    assert list(root.iterdir()) == []
    root.rmdir()
    assert volume.probe().trouble is Trouble.VOLUME_MISSING
    assert not root.exists()


def test_a_volume_that_is_back_is_fine_again(volume: Volume, root: Path) -> None:
    volume.check()
    away = root.rename(root.parent / "unplugged")
    assert volume.check().trouble is Trouble.VOLUME_MISSING
    away.rename(root)
    assert volume.probe().trouble is None


def test_swapped_volumes_are_told_apart(volume: Volume, root: Path, state: Path, tmp_path: Path) -> None:
    volume.check()
    other = tmp_path / "other"
    Volume(other, tmp_path / "other state").check()
    root.rename(tmp_path / "aside")
    other.rename(root)
    assert volume.check().trouble is Trouble.OTHER_VOLUME
    (state / "volume.json").unlink()  # as the message says, for who wants that one
    assert volume.check().trouble is None
    assert Volume(root, state).check().trouble is None


def test_a_volume_that_another_agent_has_is_not_used_until_it_is_free(root: Path, state: Path, tmp_path: Path) -> None:
    ours, theirs = VolumeClaim(), VolumeClaim()
    assert Volume(root, tmp_path / "theirs", theirs).check().trouble is None
    volume = Volume(root, state, ours)
    health = volume.check()
    assert (health.trouble, health.room) == (Trouble.IN_USE, None)
    assert str(root) in health.message
    with pytest.raises(StorageError):
        volume.demand()
    theirs.close()
    assert volume.check().trouble is None
    ours.close()


def test_a_lost_memory_takes_the_marker_that_is_there(volume: Volume, root: Path, state: Path) -> None:
    volume.check()
    marker = (root / MARKER_NAME).read_bytes()
    (state / "volume.json").write_bytes(b"{")
    assert volume.check().trouble is None
    assert (root / MARKER_NAME).read_bytes() == marker


def test_another_root_is_another_volume(volume: Volume, state: Path, tmp_path: Path) -> None:
    volume.check()
    assert Volume(tmp_path / "new root", state).check().trouble is None
    assert (tmp_path / "new root" / MARKER_NAME).exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"uuid": 5}', b"\xff\xfe"])
def test_a_damaged_marker_is_no_marker(volume: Volume, root: Path, content: bytes) -> None:
    volume.check()
    (root / MARKER_NAME).write_bytes(content)
    assert volume.check().trouble is Trouble.VOLUME_MISSING


def test_a_marker_that_is_a_link_is_not_followed(volume: Volume, root: Path) -> None:
    volume.check()
    (root / MARKER_NAME).rename(root.parent / "elsewhere")
    (root / MARKER_NAME).symlink_to(root.parent / "elsewhere")
    assert volume.check().trouble is not None


def test_a_root_that_is_a_file_is_told(root: Path, state: Path) -> None:
    root.write_text("not a folder")
    assert Volume(root, state).check().trouble is Trouble.IO_ERROR


def test_a_root_that_the_kernel_will_not_have_is_told(state: Path) -> None:
    health = Volume(Path("/proc/edge-agent"), state).check()
    assert health.trouble is not None
    assert "/proc/edge-agent" in health.message
    assert health.room is None


@pytest.mark.parametrize(
    ("room", "trouble"),
    [
        (Room(5, 10, 5, read_only=False), None),
        (Room(5, 10, None, read_only=False), None),
        (Room(0, 10, 5, read_only=False), Trouble.FULL),
        (Room(5, 10, 0, read_only=False), Trouble.NO_INODES),
        (Room(0, 10, 0, read_only=True), Trouble.READ_ONLY),
    ],
)
def test_what_the_file_system_says_is_judged(room: Room, trouble: Trouble | None) -> None:
    health = judged(Path("/recordings"), room)
    assert health.trouble is trouble
    assert health.room == room
    assert ("/recordings" in health.message) == (trouble is not None)


def on_small_volume(tmp_path: Path, scenario: str) -> list[str]:
    """What the scenario says of a volume of its own with 1 MiB and 40 inodes, in a mount namespace of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "tests.fakes.small_volume"]
    done = subprocess.run(
        [*command, scenario, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_disk_filled_by_others_is_told_and_recording_goes_on_when_there_is_room(tmp_path: Path) -> None:
    assert on_small_volume(tmp_path, "bytes") == [
        "check full",
        "create full",
        "commit full",
        "snapshot full",
        LEFT,
        "check None",
        "commit stored",
        "create made",
    ]


def test_a_disk_without_inodes_is_told_as_such(tmp_path: Path) -> None:
    assert on_small_volume(tmp_path, "inodes") == [
        "check no_inodes",
        "create full",
        "commit full",
        "snapshot full",
        LEFT,
        "check None",
        "commit stored",
        "create made",
    ]


def test_a_disk_that_turned_read_only_is_told_as_such(tmp_path: Path) -> None:
    assert on_small_volume(tmp_path, "read_only") == [
        "check read_only",
        "create read_only",
        "commit read_only",
        "snapshot read_only",
        LEFT,
        "check None",
        "commit stored",
        "create made",
    ]


def test_the_right_volume_is_demanded_before_folders_are_made_on_it(volume: Volume, root: Path) -> None:
    volume.check()
    volume.demand()
    (root / MARKER_NAME).unlink()
    with pytest.raises(StorageError, match="not mounted") as caught:
        volume.demand()
    assert caught.value.trouble is Trouble.VOLUME_MISSING
