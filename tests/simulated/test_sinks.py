from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.simulated.sinks import StdioFile


def writes(frames: list[bytes], *, flush: bool) -> list[bytes]:
    """What each write(2) carried: a sequenced-packet socket keeps them apart."""
    writer, reader = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with writer, reader:
        file = StdioFile(writer.fileno())
        result = []
        reader.setblocking(False)
        for frame in frames:
            file.write(frame)
            if flush:
                file.flush()
            while True:
                try:
                    result.append(reader.recv(1 << 20))
                except BlockingIOError:
                    break
        return result


def test_a_flushed_frame_leaves_as_a_block_whole_blocks_and_a_rest() -> None:
    assert [len(w) for w in writes([bytes(30_000)] * 2, flush=True)] == [4096, 24_576, 1328] * 2


def test_without_flush_the_rest_of_a_frame_waits_for_the_next_one() -> None:
    assert [len(w) for w in writes([bytes(30_000)] * 2, flush=False)] == [4096, 24_576, 4096, 24_576]


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=12_000), max_size=5))
def test_flushing_loses_and_reorders_nothing(frames: list[bytes]) -> None:
    assert b"".join(writes(frames, flush=True)) == b"".join(frames)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 8192])
def test_without_flush_less_than_a_block_is_kept_back(size: int) -> None:
    assert sum(len(w) for w in writes([bytes(size)], flush=False)) == size // 4096 * 4096
