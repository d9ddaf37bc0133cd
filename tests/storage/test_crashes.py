"""The archive's invariants, checked after a death at many instants of everything that changes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.core.segments import parse_segment_path
from edge_agent.storage.archive import Archive
from edge_agent.storage.fmp4 import walk
from edge_agent.storage.scan import read_segments
from edge_agent.storage.spool import SCRATCH_NAME, Spool
from edge_agent.storage.tree import opened, reader_of
from tests.storage.footage import now

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("EDGE_AGENT_TEST_PROFILE") == "long"
FOOTAGE = {(1, 0), (1, 1), (2, 0), (2, 1)}
"""Sequence and index of what `tests.fakes.crashes.prepare` recorded; the last one lost its third second."""


def die(folder: Path, scenario: str, death: str, seed: int = 1) -> list[Path]:
    """Trees of the scenario, each after a death at another instant."""
    count = "400" if LONG else "25"
    command = [sys.executable, "-m", "tests.fakes.crashes", scenario, death, str(folder), count, str(seed)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600, capture_output=True, text=True)
    found = [path for path in folder.iterdir() if path.name != "whole"]
    assert len(found) >= 4
    return sorted(found, key=lambda path: int(path.name))


def facts(folder: Path) -> list[str]:
    path = folder / "facts"
    return path.read_text().splitlines() if path.exists() else []


def dated(root: Path) -> list[str]:
    names = [str(path.relative_to(root)) for path in root.rglob("*.mp4")]
    return [name for name in names if parse_segment_path(name)]


def assert_complete(root: Path) -> None:
    """Everything under a dated name is whole and describes itself."""
    for name, sealed in read_segments(root, dated(root)):
        assert sealed is not None, name
        with opened(root / name) as descriptor:
            assert walk(reader_of(descriptor), sealed.size_bytes).end == sealed.size_bytes, name


def recovered(folder: Path) -> Archive:
    """What the next agent makes of the tree."""
    root, state = folder / "tree/root", folder / "tree/state"
    archive = Archive(root, state)
    archive.reconcile()
    spool = Spool(root)
    for run in spool.runs():
        for spooled in run.look(now(95), finished=True).closed:
            archive.commit(run, spooled)
        assert run.remove()
    assert not any(path.is_dir() and path.name != SCRATCH_NAME for path in spool.directory.glob("*"))
    return archive


def held(archive: Archive) -> list[tuple[int, int]]:
    return [(segment.sequence, segment.index) for segment in archive.window(None, None, None)]


@pytest.mark.parametrize("death", ["kill", "power"])
def test_no_footage_is_lost_or_doubled_by_a_death_while_storing(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "recover", death):
        assert_complete(folder / "tree/root")
        archive = recovered(folder)
        assert_complete(folder / "tree/root")
        assert held(archive) == sorted(FOOTAGE), folder
        assert sorted(dated(folder / "tree/root")) == sorted(one.path for one in archive.window(None, None, None))
        assert sum(one.duration_s for one in archive.window(None, None, None)) == 8.0
        for fact in facts(folder):
            confirmed += 1
            assert archive.find(fact.removeprefix("stored ")) is not None
        archive.close()
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_a_death_while_deleting_harms_nothing_else(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "delete", death):
        assert_complete(folder / "tree/root")
        archive = recovered(folder)
        found = held(archive)
        assert FOOTAGE - {(1, 1)} <= set(found)
        assert len(set(found)) == len(found)
        gone = [fact.split()[1] for fact in facts(folder) if fact.startswith("deleted")]
        confirmed += len(gone)
        if death == "kill":
            assert not any(archive.find(path) for path in gone)
        archive.close()
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_a_lock_that_was_confirmed_holds_after_any_death(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "lock", death):
        archive = recovered(folder)
        segments = archive.window(None, None, None)
        assert [(one.sequence, one.index) for one in segments] == sorted(FOOTAGE)
        assert segments[0].locked, "was locked before"
        if "locked" in facts(folder):
            confirmed += 1
            assert all(one.locked for one in segments)
        archive.close()
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_a_death_while_unlocking_leaves_footage_locked_or_not_but_whole(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "unlock", death):
        archive = recovered(folder)
        assert held(archive) == sorted(FOOTAGE)
        if "unlocked" in facts(folder):
            confirmed += 1
            assert death == "power" or archive.usage().locked_bytes == 0
        archive.close()
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_a_runs_record_is_the_old_or_the_new_one(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "save", death):
        labels = {
            run.record.session.label for run in Spool(folder / "tree/root").runs() if run.record.run.sequence == 3
        }
        promised = [fact.removeprefix("label ") for fact in facts(folder)]
        order = ["None", "one", "two"]
        if promised:
            confirmed += 1
            assert {str(label) for label in labels} <= set(order[order.index(promised[-1]) :])
            assert len(labels) == 1
        recovered(folder).close()
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_a_snapshot_or_clip_has_its_name_only_when_it_is_whole(tmp_path: Path, death: str) -> None:
    confirmed = 0
    for folder in die(tmp_path, "keep", death):
        root = folder / "tree/root"
        recovered(folder).close()
        kept = [path for name in ("snapshots", "clips") for path in (root / name).rglob("*.*")]
        assert all(path.stat().st_size == 4000 for path in kept)
        told = {fact.removeprefix("kept ") for fact in facts(folder) if fact.startswith("kept ")}
        assert told <= {str(path.relative_to(root)) for path in kept}
        confirmed += len(told)
        assert list((root / "spool").rglob("*.*")) == []
    assert confirmed > 0


@pytest.mark.parametrize("death", ["kill", "power"])
def test_what_was_sent_elsewhere_is_known_after_any_death_or_waits_to_be_found_there(
    tmp_path: Path, death: str
) -> None:
    confirmed = 0
    for folder in die(tmp_path, "upload", death):
        archive = recovered(folder)
        assert held(archive) == sorted(FOOTAGE)
        waiting = {one.path for one in archive.backlog(100).first}
        marks = list((folder / "tree/root").rglob("*.uploaded"))
        assert all(mark.read_bytes() == b"receipt" for mark in marks), "whole, or not there"
        sent = {fact.removeprefix("uploaded ") for fact in facts(folder) if fact.startswith("uploaded ")}
        assert sent <= {str(mark.with_suffix(".mp4").relative_to(folder / "tree/root")) for mark in marks}
        assert not waiting & sent
        first = archive.window(None, None, None)[0]
        if first.path in sent:
            confirmed += 1
            assert not first.locked, "the folder was synced after both"
        elif not first.uploaded:
            assert first.path in waiting, "locked again by its window"
        archive.close()
    assert confirmed > 0


@pytest.mark.parametrize("deaths", ["power+power", "kill+kill", "power+kill+power"])
def test_more_deaths_during_the_recovery_are_harmless(tmp_path: Path, deaths: str) -> None:
    for folder in die(tmp_path, "recover", deaths, seed=2):
        archive = recovered(folder)
        assert_complete(folder / "tree/root")
        assert held(archive) == sorted(FOOTAGE), folder
        archive.close()
