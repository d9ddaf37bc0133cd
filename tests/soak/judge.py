"""What the soak leaves behind, judged: footage against what was wanted, answers, and what the agent holds at rest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edge_agent.storage.metadata import Metadata
from tests.end_to_end.footage import frame_numbers, metadata
from tests.fakes.agent import Document, RunningAgent, Sent, instant

CAMERAS = ("cam0", "cam1")
STARTING_S = 4.0
"""From `recording` in the status to where footage must be, and how long before its end it must still be there: the
instants of documents are whole seconds, and a busy machine is late."""
HOLE_S = 1.5
"""A stretch without footage that counts. Runs of one recording that follow each other without a fault have no other."""
FAULT_LOSES_S = 3.0
"""A killed recorder loses up to 2 s before the fault."""
REACHES_S = {
    "command": 8.0,
    "recorder killed": 20.0,
    "recorder frozen": 60.0,
    "agent killed": 12.0,
    "agent stopped": 15.0,
    "agent started": 12.0,
}
"""How long after it a disturbance may keep a camera from recording. A change of mode starts another recorder; silence
is noticed after 10 s, a deaf recorder ended after 13 s more, and failures have a back-off."""
FDS_DIFFER = 3
"""Descriptors at rest may differ by so many: a connection that is about to end."""
MEMORY_GROWS_BYTES = 12 << 20
"""Resident memory at rest may grow by so much from the first to the last third of one life of the agent."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something done to the device that may cost footage; `camera` None: all of them. `at_s` is Unix time."""

    at_s: float
    camera: str | None
    what: str

    @property
    def until_s(self) -> float:
        """From when on it explains nothing any more."""
        return self.at_s + next(seconds for what, seconds in REACHES_S.items() if self.what.startswith(what))


@dataclass(frozen=True, slots=True)
class Rest:
    """What the agent holds while nothing is recorded, watched or asked; `life` counts its processes."""

    life: int
    fds: int
    rss_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Seconds without footage of a camera that was to record, and what explains them."""

    camera: str
    start_s: float
    end_s: float
    why: str | None


def frames(agent: RunningAgent) -> tuple[int, list[str]]:
    """How many frames are stored, and what is wrong with them: every run has its first frames, each exactly once."""
    count, wrong = 0, []
    for camera in CAMERAS:
        runs: dict[str, list[int | None]] = {}
        for _, path in segments(agent, camera):
            runs.setdefault(metadata(path).run_id, []).extend(frame_numbers(path))
        for run, numbers in runs.items():
            count += len(numbers)
            bad = [(place, number) for place, number in enumerate(numbers, 1) if place != number]
            if bad:
                wrong.append(f"run {run} of {camera}: (place, frame number) {bad[:5]} of {len(numbers)} frames")
    return count, wrong


def segments(agent: RunningAgent, camera: str) -> list[tuple[Metadata, Path]]:
    """What is stored of a camera, in the order of recording."""
    told = [(metadata(path), path) for path in agent.stored(camera)]
    return sorted(told, key=lambda one: (one[0].sequence, one[0].index))


def holes(agent: RunningAgent, statuses: Iterable[Document], disturbances: Sequence[Disturbance]) -> list[Hole]:
    """Where a camera was to record, as the status said, and nothing is stored."""
    documents = list(statuses)
    found: list[Hole] = []
    for camera in CAMERAS:
        covered = [
            (said.started_at.timestamp(), (said.started_at + timedelta(seconds=said.duration_s)).timestamp())
            for said, _ in segments(agent, camera)
        ]
        for start_s, end_s in wanted(documents, camera):
            missing = uncovered((start_s + STARTING_S, end_s - STARTING_S), covered)
            found += [Hole(camera, *hole, explain(hole, camera, disturbances)) for hole in missing]
    return found


def wanted(statuses: Iterable[Document], camera: str) -> list[tuple[float, float]]:
    """When the camera was to record, by the status documents: from the first one that says so to the next that not."""
    found: list[tuple[float, float]] = []
    start_s: float | None = None
    last_s = 0.0
    for status in statuses:
        last_s = instant(status["at"]).timestamp()
        mode = status["mode"] or ""
        mine = status["state"] == "recording" and (mode.startswith(("dual-", camera)) or mode in ("quick", "demo"))
        if mine and start_s is None:
            start_s = last_s
        if not mine and start_s is not None:
            found.append((start_s, last_s))
            start_s = None
    if start_s is not None:
        found.append((start_s, last_s))
    return found


def uncovered(span: tuple[float, float], covered: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts of `span` longer than `HOLE_S` in none of the `covered` ones."""
    found = []
    at_s, end_s = span
    for start_s, stop_s in [*sorted(covered), (end_s, end_s)]:
        if min(start_s, end_s) - at_s > HOLE_S:
            found.append((at_s, min(start_s, end_s)))
        at_s = max(at_s, stop_s)
    return found


def explain(hole: tuple[float, float], camera: str, disturbances: Iterable[Disturbance]) -> str | None:
    """What was done to the camera that reaches all of the hole; None: nothing."""
    start_s, end_s = hole
    reasons = [
        disturbance.what
        for disturbance in disturbances
        if disturbance.camera in (None, camera)
        and disturbance.at_s - FAULT_LOSES_S <= start_s
        and end_s <= disturbance.until_s
    ]
    return ", ".join(dict.fromkeys(reasons)) or None


def answers(agent: RunningAgent, sent: Iterable[tuple[str, Sent]]) -> list[str]:
    """Commands that have no final answer, or several that differ."""
    finals: dict[bytes | str, list[Document]] = {}
    for heard in agent.listener.of(agent.topic("result")):
        document = heard.document
        if document["status"] != "accepted":
            key = heard.properties.get("CorrelationData") or document["id"]
            finals.setdefault(key, []).append(document)
    wrong = []
    for what, one in sent:
        got = [*finals.get(one.correlation, []), *(finals.get(one.id, []) if one.id else [])]
        statuses = {(document["status"], document["code"]) for document in got}
        if len(statuses) != 1:
            wrong.append(f"{what}: {len(got)} final answers {sorted(statuses)}")
    return wrong


def flatness(rests: Sequence[Rest]) -> list[str]:
    """What grows while the agent rests, in each of its lives that was looked at three times or more."""
    wrong = []
    for life in sorted({rest.life for rest in rests}):
        mine = [rest for rest in rests if rest.life == life][1:]  # the first look: everything was used once
        if len(mine) < 2:
            continue
        third = max(1, len(mine) // 3)
        for what, values, allowed in (
            ("file descriptors", [rest.fds for rest in mine], FDS_DIFFER),
            ("threads", [rest.threads for rest in mine], FDS_DIFFER),
            ("bytes of memory", [rest.rss_bytes for rest in mine], MEMORY_GROWS_BYTES),
        ):
            grown = statistics.median(values[-third:]) - statistics.median(values[:third])
            if grown > allowed:
                wrong.append(f"life {life}: {grown:g} more {what}, from {values[0]} to {values[-1]}")
    return wrong
