from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.storage.errors import StorageError
from edge_agent.storage.state import MAX_BYTES, MAX_SET_ASIDE, StateFile, encode

OLD: dict[str, Any] = {"selected_mode": "dual-640", "session": None}
NEW: dict[str, Any] = {"selected_mode": "cam0-1080p", "session": {"id": "s1", "label": "Küche", "duration_s": 1.5}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
states = st.dictionaries(st.text(max_size=9), json_values, max_size=5)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "agent.json"


def emptied(path: Path) -> Path:
    """The path with nothing of an earlier example beside it."""
    path.parent.mkdir(exist_ok=True)
    for file in path.parent.iterdir():
        file.unlink()
    return path


def saved(path: Path, *states: dict[str, Any]) -> None:
    file = StateFile(path)
    for state in states:
        file.save(state)


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_a_device_without_state_has_none_and_nothing_is_wrong(path: Path) -> None:
    assert StateFile(path).load() == (None, None)


@in_one_folder
@given(state=states)
def test_what_was_saved_is_loaded(path: Path, state: dict[str, Any]) -> None:
    saved(emptied(path), state)
    assert StateFile(path).load() == (state, None)


def test_the_newest_state_counts_and_the_one_before_is_kept(path: Path) -> None:
    saved(path, OLD, NEW)
    assert StateFile(path).load() == (NEW, None)
    assert names(path) == ["agent.json", "agent.json.previous"]
    assert json.loads((path.parent / "agent.json.previous").read_text())["state"] == OLD


def test_the_state_is_readable_for_people_and_tools(path: Path) -> None:
    saved(path, NEW)
    document = json.loads(path.read_text())
    assert (document["v"], document["state"]) == (1, NEW)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\0" * 200, "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "does not match its checksum"),
        (b'{"v":1,"state":[]}', "does not match its checksum"),
        (b'{"v":1,"sha256":"0","state":{}}', "does not match its checksum"),
        (b'{"v":1,"sha256":"0","state":{"a":' + b"9" * 5000 + b"}}", "is no JSON"),
        (b'{"v":1,"sha256":"0","state":{"a":NaN}}', "does not match its checksum"),
        (encode(OLD) + b" ", "does not match its checksum"),
        (encode(OLD).replace(b'"v":1', b'"v":2'), "has version 2, from a newer agent"),
        (b" " * (MAX_BYTES + 1), "is larger than"),
    ],
)
def test_a_damaged_file_is_set_aside_whole_and_the_state_before_it_counts(path: Path, content: bytes, why: str) -> None:
    saved(path, OLD, NEW)
    path.write_bytes(content)
    state, damage = StateFile(path).load()
    assert state == OLD
    assert damage is not None
    assert damage.set_aside == path.with_name("agent.json.damaged-1")
    assert damage.set_aside.read_bytes() == content
    assert f"{path} {why}" in damage.message
    assert "the state before it" in damage.message


@in_one_folder
@given(old=states, new=states, data=st.data())
def test_any_cut_and_any_changed_byte_is_noticed(
    path: Path, old: dict[str, Any], new: dict[str, Any], data: st.DataObject
) -> None:
    saved(emptied(path), old, {**new, "newest": True})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="cut"):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    state, damage = StateFile(path).load()
    assert state == old
    assert damage is not None
    assert damage.set_aside is not None
    assert damage.set_aside.read_bytes() == content


@in_one_folder
@given(content=st.binary(max_size=200), previous=st.binary(max_size=200))
def test_no_content_of_both_files_keeps_the_agent_from_starting(path: Path, content: bytes, previous: bytes) -> None:
    emptied(path).write_bytes(content)
    path.with_name("agent.json.previous").write_bytes(previous)
    file = StateFile(path)
    state, damage = file.load()
    assert state is None
    assert damage is not None
    assert "its defaults" in damage.message
    assert names(path) == ["agent.json.damaged-1", "agent.json.previous.damaged-1"]
    assert file.load() == (None, None)
    file.save(NEW)
    assert StateFile(path).load() == (NEW, None)


def test_the_good_state_before_a_damaged_one_is_not_lost_by_the_next_save(path: Path) -> None:
    saved(path, OLD, NEW)
    path.write_bytes(b"rubbish")
    file = StateFile(path)
    file.load()
    file.save({"third": 3})
    path.write_bytes(b"rubbish again")
    state, damage = StateFile(path).load()
    assert (state, damage and damage.set_aside) == (OLD, path.with_name("agent.json.damaged-2"))


def test_a_state_that_went_missing_is_told_and_the_one_before_it_counts(path: Path) -> None:
    saved(path, OLD, NEW)
    path.unlink()
    state, damage = StateFile(path).load()
    assert state == OLD
    assert damage is not None
    assert "is missing" in damage.message
    assert damage.set_aside is None


def test_only_so_many_damaged_files_are_kept(path: Path) -> None:
    saved(path, OLD)
    for n in range(MAX_SET_ASIDE + 3):
        path.write_bytes(f"rubbish {n}".encode())
        StateFile(path).load()
    kept = [file.read_text() for file in sorted(path.parent.glob("*.damaged-*"))]
    assert kept == [f"rubbish {n}" for n in (*range(MAX_SET_ASIDE - 1), MAX_SET_ASIDE + 2)]


@pytest.mark.parametrize(
    "put",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere"), lambda path: path.symlink_to(path.name)],
    ids=["folder", "pipe", "broken link", "loop"],
)
def test_something_else_in_the_files_place_is_set_aside(path: Path, put: Callable[[Path], None]) -> None:
    saved(path, OLD, NEW)
    path.unlink()
    put(path)
    file = StateFile(path)
    state, damage = file.load()
    assert state == OLD
    assert damage is not None
    assert damage.set_aside is not None
    file.save(NEW)
    assert StateFile(path).load() == (NEW, None)


class PowerCutError(BaseException):
    """Ends a save as if the machine had lost its power: nothing after it happens."""


@pytest.mark.parametrize("call", range(1, 20))
def test_a_power_cut_at_any_step_of_a_save_leaves_the_old_or_the_new_state(
    path: Path, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(path)
    file.save({"oldest": True})
    file.save(OLD)
    calls = 0

    def cutting(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                raise PowerCutError
            return real(*args, **kwargs)

        return step

    with monkeypatch.context() as power:
        for name in ("fsync", "replace", "write", "rename"):
            power.setattr(os, name, cutting(getattr(os, name)))
        try:
            file.save(NEW)
        except PowerCutError:
            finished = False
        else:
            finished = True
    state, damage = StateFile(path).load()
    assert damage is None
    assert state == NEW if finished else state in (OLD, NEW)
    assert calls >= min(call, 8)  # two files: write, sync, rename, sync of the folder


def test_a_state_that_can_not_be_saved_says_so_and_leaves_the_old_one(path: Path) -> None:
    saved(path, OLD)
    path.with_name("agent.json.tmp").mkdir()
    file = StateFile(path)
    with pytest.raises(StorageError, match=r"save the state in .*agent\.json"):
        file.save(NEW)
    assert StateFile(path).load() == (OLD, None)
    path.with_name("agent.json.tmp").rmdir()
    file.save(NEW)
    assert StateFile(path).load() == (NEW, None)


def test_the_folder_is_made_when_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "agent.json"
    saved(path, OLD)
    assert StateFile(path).load() == (OLD, None)
