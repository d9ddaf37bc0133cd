"""Stands in for the camera program where only signals, exit codes and surroundings count.

`camera_program_signals.py BEHAVIOUR` says `ready` on stdout, then: `obedient` ends with 0 on SIGINT, `deaf` needs
SIGTERM, `stubborn` needs SIGKILL, `family` has a child that lives as long, `exit:N` and `signal:N` end at once, `about`
tells its surroundings as JSON and ends.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path


def about() -> str:
    return json.dumps(
        {
            "session": os.getsid(0) == os.getpid(),
            "stdin": str(Path("/proc/self/fd/0").readlink()),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "descriptors": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()),
            "environment": dict(os.environ),
        }
    )


def say(text: str) -> None:
    """Write to stderr, then to stdout, where the test waits for it."""
    for stream in (sys.stderr, sys.stdout):
        stream.write(text + "\n")
        stream.flush()


def main(behaviour: str) -> None:
    ignored = {"deaf": [signal.SIGINT], "stubborn": [signal.SIGINT, signal.SIGTERM]}.get(behaviour, [])
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)
    if behaviour == "obedient":
        signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(0))
    if behaviour == "about":
        # The limit comes from the agent just after the start: the test says when to look.
        say("ready")
        signal.sigwait([signal.SIGUSR1])
        say(about())
        return
    if behaviour == "family":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.fork()
    say("ready")
    kind, _, number = behaviour.partition(":")
    if kind == "exit":
        os._exit(int(number))
    if kind == "signal":
        os.kill(os.getpid(), int(number))
    while True:
        signal.pause()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    main(sys.argv[1])
