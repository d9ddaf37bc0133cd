"""`edge-agent recordings list|verify|plan|clip`: what lies on the disk, read beside a running agent."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from edge_agent.app.library import clip_arguments, left_out
from edge_agent.app.shelf import Shelf, open_pieces, open_shelf, policy_of, room_of, write_rate_bps
from edge_agent.children import ChildFailed, run_child
from edge_agent.cli.configuration import FAULT, OK, UsageError, configuration
from edge_agent.cli.table import length, size, table
from edge_agent.cli.window import wanted, window
from edge_agent.config import Config
from edge_agent.core.forecast import forecast
from edge_agent.core.gaps import SENTENCES, Gap, find_gaps
from edge_agent.core.model import Segment
from edge_agent.core.retention import Policy, RetentionPlan, VolumeState, extras_quota_bytes, plan
from edge_agent.core.segments import clip_path
from edge_agent.host.clock import Clock
from edge_agent.storage.errors import StorageError
from edge_agent.storage.index import Filter
from edge_agent.storage.soundness import Checked, check_segment
from edge_agent.web.files import recording_document
from edge_agent.wire.values import counted, format_instant, format_instant_ms

NEXT_SHOWN = 20
CLIP_PATIENCE_S = 6 * 3600.0


def main(options: Namespace) -> int:
    """Carry out one of the commands."""
    config = configuration(options)
    if not config.recording.root.is_dir():
        print(f"edge-agent {options.command}: there is no archive at {config.recording.root}", file=sys.stderr)
        return FAULT
    commands: dict[str, Callable[[Config, Namespace], int]] = {
        "recordings list": _list,
        "recordings verify": _verify,
        "recordings plan": _plan,
        "recordings clip": _clip,
    }
    try:
        return commands[options.command](config, options)
    except (StorageError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"edge-agent {options.command}: {error}", file=sys.stderr)
        return FAULT


# -- list -------------------------------------------------------------------------------------------------------------


def _list(config: Config, options: Namespace) -> int:
    chosen = wanted(options)
    with open_shelf(config) as shelf:
        segments = shelf.segments(chosen)[::-1][: options.limit]
        _tell_unreadable(shelf)
    if options.json:
        print(json.dumps([recording_document(segment) for segment in segments], indent=2, ensure_ascii=False))
        return OK
    if segments:
        header = ("START", "CAMERA", "MODE", "LENGTH", "SIZE", "LOCK", "UPLOADED", "PATH")
        print("\n".join(table(header, [_cells(segment) for segment in segments])))
        print()
    total_bytes = sum(segment.size_bytes for segment in segments)
    locked = sum(segment.locked for segment in segments)
    total_s = sum(segment.duration_s for segment in segments)
    print(f"{counted(len(segments), 'segment')}, {length(total_s)}, {size(total_bytes)}, {locked} locked")
    return OK


def _cells(segment: Segment) -> tuple[str, ...]:
    lock = ", ".join(label or "locked" for label in segment.lock_labels)
    started = format_instant(segment.started_at)
    return (
        started,
        segment.camera,
        segment.mode,
        length(segment.duration_s),
        size(segment.size_bytes),
        lock,
        "yes" if segment.uploaded else "",
        segment.path,
    )


def _tell_unreadable(shelf: Shelf) -> None:
    for told in shelf.found.unreadable:
        print(f"cannot be read: {told}", file=sys.stderr)


# -- verify -----------------------------------------------------------------------------------------------------------


def _verify(config: Config, options: Namespace) -> int:
    chosen = Filter(options.camera, None, *window(options))
    root = config.recording.root
    with open_shelf(config) as shelf:
        paths = [segment.path for segment in shelf.segments(chosen)]
        strangers = shelf.found.strangers if chosen == Filter() else ()
        unreadable = shelf.found.unreadable
    checked = [check_segment(root, path, every_byte=options.every_byte) for path in (*paths, *strangers)]
    damaged = [one for one in checked if one.damage is not None]
    gaps = find_gaps(piece for one in checked if (piece := one.piece()) is not None)
    if options.json:
        print(json.dumps(_verified(checked, gaps, unreadable), indent=2, ensure_ascii=False))
    else:
        _print_verified(checked, gaps, unreadable)
    return FAULT if damaged or unreadable else OK


def _verified(checked: list[Checked], gaps: list[Gap], unreadable: tuple[str, ...]) -> dict[str, object]:
    return {
        "v": 1,
        "segments": len(checked),
        "size_bytes": sum(one.size_bytes for one in checked),
        "frames": sum(one.frames for one in checked),
        "damaged": [{"path": one.path, "damage": one.damage} for one in checked if one.damage is not None],
        "unreadable": list(unreadable),
        "gaps": [
            {
                "camera": gap.camera,
                "from": format_instant_ms(gap.started_at),
                "length_s": round(gap.length_s, 3),
                "reason": gap.reason,
                "after": gap.after,
                "before": gap.before,
            }
            for gap in gaps
        ],
    }


def _print_verified(checked: list[Checked], gaps: list[Gap], unreadable: tuple[str, ...]) -> None:
    for told in unreadable:
        print(f"cannot be read: {told}")
    for one in checked:
        if one.damage is not None:
            print(f"damaged: {one.path} {one.damage}")
    for gap in gaps:
        start, reason = format_instant(gap.started_at), f"{gap.reason}: {SENTENCES[gap.reason]}"
        print(f"gap: {gap.camera} from {start} for {gap.length_s:.1f} s, {reason}")
    damaged = sum(one.damage is not None for one in checked)
    total_bytes = sum(one.size_bytes for one in checked)
    whole = f"{counted(len(checked), 'segment')}, {size(total_bytes)}"
    print(f"{whole}: {damaged} damaged, {counted(len(gaps), 'gap')}")


# -- plan -------------------------------------------------------------------------------------------------------------


def _plan(config: Config, options: Namespace) -> int:
    clock = Clock()
    now, synchronized = clock.now(), bool(clock.synchronized())
    volume, policy = room_of(config.recording.root), policy_of(config)
    with open_shelf(config) as shelf:
        candidates = shelf.candidates()
    decided = plan(candidates, volume, policy, now, clock_synchronized=synchronized)
    coming = forecast(
        candidates,
        volume,
        policy,
        now,
        write_bytes_ps=write_rate_bps(config) / 8,
        clock_synchronized=synchronized,
    )
    gone = {removal.path for removal in decided.removals}
    rows = [("now", one.reason.value, one.size_bytes, one.uploaded, one.path) for one in decided.removals]
    rows += [
        (format_instant(one.at), one.reason.value, one.size_bytes, one.uploaded, one.path)
        for one in coming
        if one.path not in gone
    ][:NEXT_SHOWN]
    if options.json:
        documents = [dict(zip(("when", "reason", "size_bytes", "uploaded", "path"), row, strict=True)) for row in rows]
        print(json.dumps(documents, indent=2, ensure_ascii=False))
        return OK
    extra_bytes = sum(candidate.size_bytes for candidate in candidates if candidate.extra)
    print("\n".join(_limits(config, volume, policy, extra_bytes, synchronized=synchronized)))
    if rows:
        cells = [
            (when, reason, size(size_bytes), "yes" if uploaded else "", path)
            for when, reason, size_bytes, uploaded, path in rows
        ]
        print("\n" + "\n".join(table(("WHEN", "WHY", "SIZE", "UPLOADED", "PATH"), cells)))
    print("\n" + _sum(decided, len(candidates), len(coming)))
    return OK


def _limits(config: Config, volume: VolumeState, policy: Policy, extra_bytes: int, *, synchronized: bool) -> list[str]:
    floor_bytes = policy.floor_bytes(volume.total_bytes)
    keys = "recording.min_free_bytes, min_free_percent"
    free, total = size(volume.free_bytes), size(volume.total_bytes)
    lines = [f"free      {free} of {total}, {size(floor_bytes)} are kept free ({keys})"]
    if policy.max_bytes is not None:
        lines.append(f"archive   {size(policy.max_bytes)} at the most (recording.max_bytes)")
    if policy.max_age_s is not None:
        rests = "" if synchronized else "; RESTS, because the clock is not synchronized"
        lines.append(f"age       {policy.max_age_s / 86400:.1f} days at the most (recording.max_age){rests}")
    quota = size(extras_quota_bytes(volume, policy))
    lines.append(f"extras    {size(extra_bytes)} of snapshots and clips, {quota} at the most")
    rate_bps = write_rate_bps(config)
    lines.append(
        f"recording {rate_bps / 1e6:.1f} Mb/s in {config.default_mode()}, without a pause from now on, is assumed"
    )
    return lines


def _sum(decided: RetentionPlan, files: int, coming: int) -> str:
    if decided.exhausted:
        return "All that may go is not enough: recording stops with disk_full until something is unlocked or deleted."
    now = len(decided.removals)
    if now:
        return f"Going now: {now} of {counted(files, 'file')}, which frees {size(decided.freed_bytes)}."
    return f"Nothing goes now. With a date: {coming} of {counted(files, 'file')}." if files else "There is no footage."


# -- clip -------------------------------------------------------------------------------------------------------------


def _clip(config: Config, options: Namespace) -> int:
    start, end = window(options)
    if start is None or end is None:
        raise UsageError("--from and --to are needed")
    camera = options.camera
    if camera not in {one.id for one in config.camera_list()}:
        raise UsageError(f"CAMERA: there is no {camera}, only {', '.join(one.id for one in config.camera_list())}")
    output = options.output or Path(clip_path(camera, start, end).name)
    folder = output.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        print(f"edge-agent {options.command}: {folder} is no folder that can be written to", file=sys.stderr)
        return FAULT
    pieces = _pieces(config, camera, start, end)
    if not pieces:
        print(f"{camera} has no footage from {format_instant(start)} to {format_instant(end)}", file=sys.stderr)
        return FAULT
    try:
        done = asyncio.run(
            run_child("media.clip", clip_arguments(str(output.absolute()), pieces, start, end), CLIP_PATIENCE_S)
        )
    except ChildFailed as error:
        print(f"edge-agent {options.command}: {error}", file=sys.stderr)
        return FAULT
    unreadable = left_out(done)
    for path in unreadable:
        print(f"{path} cannot be read and is not in the clip", file=sys.stderr)
    print(f"{output}: {counted(len(pieces) - len(unreadable), 'segment')}, {size(output.stat().st_size)}")
    return OK


def _pieces(config: Config, camera: str, start: datetime, end: datetime) -> list[tuple[Path, datetime]]:
    """The files that hold the window. The spool is read first: what is stored meanwhile is found in the archive."""
    root = config.recording.root.absolute()
    spooled = open_pieces(root, camera, Clock().now())
    with open_shelf(config) as shelf:
        stored = shelf.segments(Filter(camera=camera, start=start, end=end))
    still_open = [(path, began) for path, began in spooled if began < end and path.exists()]
    return [(root / segment.path, segment.started_at) for segment in stored] + still_open
