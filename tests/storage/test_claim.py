from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.storage.claim import InUse, VolumeClaim, claim


def test_a_second_claim_names_who_has_the_directory(tmp_path: Path) -> None:
    held = claim(tmp_path / "state")
    with pytest.raises(InUse) as refused:
        claim(tmp_path / "state")
    assert refused.value.pid == os.getpid()
    assert held is not None
    os.close(held)


def test_a_claim_ends_with_its_descriptor(tmp_path: Path) -> None:
    for _ in range(2):
        held = claim(tmp_path)
        assert held is not None
        os.close(held)


def test_a_holder_that_has_not_signed_is_named_without_a_pid(tmp_path: Path) -> None:
    held = claim(tmp_path)
    assert held is not None
    os.ftruncate(held, 0)
    with pytest.raises(InUse, match="another edge-agent uses"):
        claim(tmp_path)
    os.close(held)


def test_a_directory_that_takes_no_file_is_no_reason_not_to_begin(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert claim(tmp_path / "file") is None


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("footage")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    assert claim(tmp_path) is None
    assert (tmp_path / "precious").read_text() == "footage"


def test_a_volume_is_held_by_one_at_a_time_until_it_lets_go(tmp_path: Path) -> None:
    one, other = VolumeClaim(), VolumeClaim()
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert one.take(first)
    assert one.take(first)
    assert not other.take(first)
    assert other.take(second)
    assert not one.take(second)
    assert other.take(first), "whoever wanted another volume has let go of the one before"
    other.close()
    assert one.take(second)
    one.close()


def test_a_volume_whose_identity_is_any_text_can_be_held() -> None:
    claimed = VolumeClaim()
    for identity in ("", "\ud800", "x" * 4096):
        assert claimed.take(identity)
    claimed.close()
