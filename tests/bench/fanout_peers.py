"""Peers of the agent, as servers for `fanout.py`, where they are installed: uStreamer and mjpg-streamer, both in C.

Both take the pipe for a camera (`camera.c`) that delivers JPEGs, and pass these on as they are.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass

# camera.c stands in for it. A file that exists, for both look for it first.
_DEVICE = "/dev/zero"


@dataclass(frozen=True)
class Server:
    """How a server is started that reads frames on stdin and tells its port, and where it has the pictures."""

    argv: list[str]
    path: str = "/stream/cam0"


_PEERS = {
    "ustreamer": Server(
        ["ustreamer", f"--device={_DEVICE}", "--format=MJPEG", "--encoder=HW", "--host=127.0.0.1"], "/stream"
    ),
    "mjpg_streamer": Server(
        ["mjpg_streamer", "-i", f"input_uvc.so -d {_DEVICE} -n", "-o", "output_http.so -l 127.0.0.1"], "/?action=stream"
    ),
}
PEERS = tuple(_PEERS)


def peers(camera: str, chosen: Iterable[str]) -> dict[str, Server]:
    """Those chosen peers that are in PATH, to be started with the library `camera`; says which are missing."""
    found = {}
    for name in chosen:
        peer = _PEERS[name]
        if shutil.which(name):
            # Without stderr, where both tell of every start and uStreamer of every viewer.
            quiet = ["sh", "-c", 'LD_PRELOAD="$0" exec "$@" 2>/dev/null', camera]
            found[name] = Server([*quiet, *peer.argv], peer.path)
        else:
            print(f"no {name}, so its rows are missing", file=sys.stderr)
    return found
