"""One command for an hour of everything at once, and a report: `tests/soak.sh [--minutes 60] [--seed 1]`.

A real agent with two simulated cameras records in short segments while viewers come and go, commands of all kinds come
at random, and recorders, the agent and the broker are killed. Exit code 1 if footage is missing without a reason, a
frame is missing or twice within a run, a command has no answer, or the agent holds more and more.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.soak import judge
from tests.soak.device import Device


def soak(directory: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Run for so long and judge; `violations` in the report is empty if all is well."""
    begin = time.monotonic()
    print(f"soak: {seconds / 60:g} min, --seed {seed}, in {directory}", flush=True)
    with Device(directory, seed) as device:
        device.live(seconds, lambda line: print(line, flush=True))
        agent = device.agent
        print("reading every stored frame ...", flush=True)
        count, wrong_frames = judge.frames(agent)
        statuses = [heard.document for heard in agent.listener.of(agent.topic("status"))]
        holes = judge.holes(agent, statuses, device.disturbances)
        violations = [
            *wrong_frames,
            *(
                f"{hole.camera}: no footage from {hole.start_s:.1f} to {hole.end_s:.1f}, and no reason"
                for hole in holes
                if hole.why is None
            ),
            *judge.answers(agent, device.sent),
            *judge.flatness(device.rests),
            *(f"left in the spool: {path.name}" for path in agent.found("spool/2*")),
            *(
                f"{log.name}: {line[:200]}"
                for log in sorted(agent.directory.glob("agent.*.log"))
                for line in log.read_text(errors="replace").splitlines()
                if line.startswith(("Traceback", "ERROR", "CRITICAL"))
            ),
        ]
        if count == 0:
            violations.append("nothing was recorded")
        if not device.audience.seen["mjpeg 200"] or not device.audience.seen["mjpeg bytes"]:
            violations.append("nobody saw a live picture")
    return {
        "seed": seed,
        "minutes": round(seconds / 60, 2),
        "took_s": round(time.monotonic() - begin),
        "lives_of_the_agent": device.lives,
        "disturbances": dict(Counter(one.what for one in device.disturbances)),
        "commands": dict(device.tally()),
        "viewers": dict(sorted(device.audience.seen.items())),
        "segments": {camera: len(agent.stored(camera)) for camera in judge.CAMERAS},
        "frames": count,
        "explained_gaps": [
            {"camera": hole.camera, "seconds": round(hole.end_s - hole.start_s, 1), "why": hole.why}
            for hole in holes
            if hole.why is not None
        ],
        "at_rest": [
            {"life": rest.life, "fds": rest.fds, "rss_mib": round(rest.rss_bytes / 2**20, 1), "threads": rest.threads}
            for rest in device.rests
        ],
        "violations": violations,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/soak.sh", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats the same dice")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave everything there")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        report = soak(directory, options.minutes * 60, options.seed)
    text = json.dumps(report, indent=2)
    print(text)
    if options.report:
        options.report.write_text(f"{text}\n")
    print(f"soak: {len(report['violations'])} violations" if report["violations"] else "soak: all is well")
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
