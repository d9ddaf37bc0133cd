"""A wall clock that a test can set, for an agent in a process of its own: put this folder on its PYTHONPATH.

The kernel has one wall clock for everybody, so that a test cannot step the real one. The agent reads clocks in one
module, and only what that module reads is replaced here, in the agent's process alone. FAKE_CLOCK names a JSON file:
`offset_s`, by how much the wall clock is off, and `synchronized`, what the kernel says of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if sys.orig_argv[1:4] == ["-m", "edge_agent", "run"]:
    from datetime import datetime, timedelta, tzinfo

    from edge_agent.host import clock

    _CONTROL = Path(os.environ["FAKE_CLOCK"])
    _UNSYNCHRONIZED = 0x40

    class _Datetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # arithmetic yields datetime
            return datetime.now(tz) + timedelta(seconds=json.loads(_CONTROL.read_text())["offset_s"])

    def _kernel_status() -> int:
        return 0 if json.loads(_CONTROL.read_text())["synchronized"] else _UNSYNCHRONIZED

    vars(clock).update(datetime=_Datetime, read_kernel_status=_kernel_status)
