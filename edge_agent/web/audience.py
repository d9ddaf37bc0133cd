"""All viewers of one camera, and the loop that brings a frame to them: the hot place of live view.

Most viewers keep up, missed nothing and want every frame. For these a part is one system call each and nothing else:
their descriptors stand in a table of their own, and no object of theirs is touched. All others are asked one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from edge_agent.web.part import CLOSING, Part
from edge_agent.web.viewer import SocketViewer, Viewer

_WHOLE_PAYS_FROM = 8
"""From how many viewers on one copy of the whole frame is cheaper than three pieces for each."""


class Audience:
    """The viewers, each in one of two tables. A viewer that begins or ceases to be prompt says so by `sort`."""

    def __init__(self) -> None:
        self._prompt: dict[int, SocketViewer] = {}
        self._others: dict[Viewer, None] = {}

    def __len__(self) -> int:
        return len(self._prompt) + len(self._others)

    def __iter__(self) -> Iterator[Viewer]:
        return iter((*self._prompt.values(), *self._others))

    def sort(self, viewer: Viewer) -> None:
        """Put `viewer` where it belongs now; it may be a new one."""
        self.discard(viewer)
        if isinstance(viewer, SocketViewer) and viewer.prompt:
            self._prompt[viewer.descriptor] = viewer
        else:
            self._others[viewer] = None

    def discard(self, viewer: Viewer) -> None:
        """Forget `viewer`, if it is known."""
        self._others.pop(viewer, None)
        if isinstance(viewer, SocketViewer) and self._prompt.get(viewer.descriptor) is viewer:
            del self._prompt[viewer.descriptor]

    def offer(self, part: Part, now_s: float) -> None:
        """Bring `part` to all who are ready for it."""
        others = tuple(self._others)  # who falls behind just now had this part already
        file, size = part.file, len(part.usual_header) + part.body_bytes
        sendfile, writev = os.sendfile, os.writev
        pieces: tuple[bytes, ...] = (part.usual_header, part.jpeg, CLOSING)
        if file < 0 and len(self._prompt) >= _WHOLE_PAYS_FROM:
            pieces = (part.whole,)
        for descriptor in tuple(self._prompt):
            try:
                sent = writev(descriptor, pieces) if file < 0 else sendfile(descriptor, file, 0, size)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._prompt[descriptor].close()
                continue
            if sent != size:
                self._prompt[descriptor].keep(part, part.usual_header, sent)
        for viewer in others:
            viewer.offer(part, now_s)
