from __future__ import annotations

import os
import selectors

from edge_agent.media.outlet import PIPE_BYTES, Outlet


def drain(selector: selectors.BaseSelector, reader: int) -> bytes:
    """Read until the outlet has nothing left to write."""
    received = bytearray()
    os.set_blocking(reader, False)
    while True:
        try:
            received += os.read(reader, 65536)
        except BlockingIOError:
            if not selector.get_map():
                return bytes(received)
        for key, _ in selector.select(0):
            key.data()


def test_what_does_not_fit_into_the_pipe_follows_as_it_drains(pipe: tuple[int, int]) -> None:
    selector = selectors.DefaultSelector()
    outlet = Outlet(pipe[1], selector, limit_bytes=0)
    data = os.urandom(3 * PIPE_BYTES)
    assert outlet.offer(data)
    assert not outlet.free
    assert not outlet.offer(b"refused")
    assert drain(selector, pipe[0]) == data
    assert outlet.offer(b"next")
    assert drain(selector, pipe[0]) == b"next"


def test_up_to_the_limit_is_kept_in_order(pipe: tuple[int, int]) -> None:
    selector = selectors.DefaultSelector()
    outlet = Outlet(pipe[1], selector, limit_bytes=2 * PIPE_BYTES)
    chunks = [bytes([number]) * (PIPE_BYTES // 2) for number in range(20)]
    taken = [chunk for chunk in chunks if outlet.offer(chunk)]
    assert 4 < len(taken) < 20
    assert drain(selector, pipe[0]) == b"".join(taken)


def test_a_reader_that_left_is_noticed(pipe: tuple[int, int]) -> None:
    selector = selectors.DefaultSelector()
    reader, writer = os.pipe()
    outlet = Outlet(writer, selector, limit_bytes=0)
    assert outlet.offer(bytes(2 * PIPE_BYTES))
    os.close(reader)
    for key, _ in selector.select(5):
        key.data()
    assert outlet.gone
    assert not outlet.offer(b"more")
    assert not selector.get_map()
    os.close(writer)
