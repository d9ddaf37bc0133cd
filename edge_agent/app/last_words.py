"""Why a camera program ended by itself, from its exit status and what it wrote last to its stderr."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_agent.app.disk import Disk
from edge_agent.rpicam.messages import Explanation, explain
from edge_agent.rpicam.process import Exit, stderr_tail

TAIL_LINES = 20

log = logging.getLogger(__name__)


async def last_words(what: str, camera: str, end: Exit, stderr_path: Path, disk: Disk) -> Explanation:
    """Log how `what` (a recorder, a live program) ended, and say what that means. `disk` is where its stderr lies."""
    tail = await disk.run(stderr_tail, stderr_path)
    explanation = explain(end.returncode, tail)
    log.warning(
        "%s ended camera=%s cause=%s returncode=%s stderr=%s",
        what,
        camera,
        explanation.cause,
        end.returncode,
        " | ".join(tail[-TAIL_LINES:]),
    )
    return explanation
