"""All viewers of one camera, and the loop that brings a frame to them: the hot place of live view.

Most viewers keep up and want every frame. For these a part is one system call each and nothing else: their descriptors
stand in tables of their own, one for each number of missed frames, which the header tells and so divides them; no
object of theirs is touched. All others are asked one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from edge_agent.web.part import CLOSING, Part
from edge_agent.web.viewer import SocketViewer, Viewer

_WHOLE_PAYS_FROM = 8
"""From how many viewers on one copy of the whole frame is cheaper than three pieces for each."""


class Audience:
    """The viewers, each in one table. A viewer that begins or ceases to be prompt says so by `sort`."""

    def __init__(self) -> None:
        self._prompt: dict[int, dict[int, SocketViewer]] = {}  # by missed frames and descriptor
        self._others: dict[Viewer, None] = {}

    def __len__(self) -> int:
        return sum(map(len, self._prompt.values())) + len(self._others)

    def __iter__(self) -> Iterator[Viewer]:
        return iter((*(viewer for group in self._prompt.values() for viewer in group.values()), *self._others))

    def sort(self, viewer: Viewer) -> None:
        """Put `viewer` where it belongs now; it may be a new one."""
        self.discard(viewer)
        if isinstance(viewer, SocketViewer) and viewer.prompt:
            self._prompt.setdefault(viewer.dropped, {})[viewer.descriptor] = viewer
        else:
            self._others[viewer] = None

    def discard(self, viewer: Viewer) -> None:
        """Forget `viewer`, if it is known."""
        self._others.pop(viewer, None)
        group = self._prompt.get(viewer.dropped, {})  # a prompt viewer misses nothing, so it stands where it was put
        if isinstance(viewer, SocketViewer) and group.get(viewer.descriptor) is viewer:
            del group[viewer.descriptor]
            if not group:
                del self._prompt[viewer.dropped]

    def offer(self, part: Part, now_s: float) -> None:
        """Bring `part` to all who are ready for it."""
        others = tuple(self._others)  # who falls behind just now had this part already
        for dropped, group in tuple(self._prompt.items()):
            if dropped and part.file >= 0:  # in the file stands the header of those that missed nothing
                others += tuple(group.values())
            else:
                _send(part, part.header(dropped), group)
        for viewer in others:
            viewer.offer(part, now_s)


def _send(part: Part, header: bytes, group: dict[int, SocketViewer]) -> None:
    """Give the kernel the part for each viewer of the group; who cannot take all of it leaves the group."""
    file, size = part.file, len(header) + part.body_bytes
    write, writev, sendfile = os.write, os.writev, os.sendfile
    pieces = (header, part.jpeg, CLOSING)
    whole = b""
    if file < 0 and len(group) >= _WHOLE_PAYS_FROM:
        whole = part.whole if header is part.usual_header else b"".join(pieces)
    for descriptor in tuple(group):
        try:
            if whole:
                sent = write(descriptor, whole)
            elif file < 0:
                sent = writev(descriptor, pieces)
            else:
                sent = sendfile(descriptor, file, 0, size)
        except BlockingIOError:
            sent = 0
        except OSError:
            group[descriptor].close()
            continue
        if sent != size:
            group[descriptor].keep(part, header, sent)
