from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.tapframes import MAX_PAYLOAD_BYTES, BadFraming, Kind, TapFrame, TapFrames, pack

frames = st.lists(
    st.builds(TapFrame, st.sampled_from(Kind), st.integers(min_value=0, max_value=2**64 - 1), st.binary(max_size=200))
)


@given(frames, st.lists(st.integers(min_value=1, max_value=300)))
def test_frames_come_out_as_they_went_in_however_they_are_chunked(sent: list[TapFrame], sizes: list[int]) -> None:
    stream = b"".join(map(pack, sent))
    parser = TapFrames()
    received = []
    for size in sizes:
        received += parser.feed(stream[:size])
        stream = stream[size:]
    received += parser.feed(stream)
    assert received == sent


@given(st.binary(min_size=1, max_size=1).filter(lambda letter: letter not in {kind.value for kind in Kind}))
def test_an_unknown_kind_is_bad_framing(letter: bytes) -> None:
    with pytest.raises(BadFraming, match="unknown kind"):
        TapFrames().feed(struct.pack(">cQI", letter, 0, 0))


def test_a_length_that_no_picture_has_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(BadFraming, match="bytes"):
        TapFrames().feed(struct.pack(">cQI", b"k", 0, MAX_PAYLOAD_BYTES + 1))


def test_the_longest_payload_is_taken() -> None:
    frame = TapFrame(Kind.KEY, 1, bytes(MAX_PAYLOAD_BYTES))
    assert TapFrames().feed(pack(frame)) == [frame]
