"""A listening socket that hands over one connection per turn of the event loop.

Tornado takes up to 128 at once and then works on all of them side by side: when 200 viewers come in the same moment, as
they do when the agent was restarted, that takes 10 KB each, which the process never gives back. One after the other it
is 1 KB each, and those who were there before wait less. The kernel keeps the others in the backlog meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable


class PatientSocket(socket.socket):
    """Says after every connection that there is none; the loop then finds it readable again in its next turn."""

    _had_its_turn = False

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection. Raises `BlockingIOError` every other time, and when there is none."""
        if self._had_its_turn:
            self._had_its_turn = False
            raise BlockingIOError
        accepted = super().accept()
        self._had_its_turn = True
        return accepted


def patient(listening: Iterable[socket.socket]) -> list[socket.socket]:
    """The same sockets as `PatientSocket`; those given are no longer to be used."""
    return [PatientSocket(fileno=one.detach()) for one in listening]
