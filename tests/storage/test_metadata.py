from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.storage.fmp4 import reader, walk
from edge_agent.storage.metadata import BOX_UUID, Metadata, encode_box, read_box
from tests.storage.footage import AT, box, segment, u32

numbers = st.integers(0, 2**62)
texts = st.text(max_size=64)
described = st.builds(
    Metadata,
    run_id=texts,
    sequence=numbers,
    index=numbers,
    camera=texts,
    mode=texts,
    label=st.none() | texts,
    started_at=st.datetimes(timezones=st.just(UTC)),
    duration_s=st.floats(0, 1e9),
    width=numbers,
    height=numbers,
    fps=numbers,
    boot_id=texts,
    mono_s=st.floats(0, 1e12),
    clock_synchronized=st.none() | st.booleans(),
)
PLAIN = Metadata("run", 1, 2, "cam0", "dual-640", None, AT, 60.0, 640, 480, 30, "boot", 5.0, clock_synchronized=True)


def read(data: bytes) -> Metadata | None:
    return read_box(reader(data), len(data))


@given(described)
def test_a_description_is_read_as_it_was_written(metadata: Metadata) -> None:
    data = segment(1) + encode_box(metadata)
    assert read(data) == metadata
    assert walk(reader(data), len(data)).end == len(data)


@given(st.integers(1, len(encode_box(PLAIN))))
def test_a_torn_description_is_none(missing: int) -> None:
    assert read((segment(1) + encode_box(PLAIN))[:-missing]) is None


@given(st.binary(max_size=100))
def test_any_content_of_the_box_is_read_without_an_error(content: bytes) -> None:
    assert read(box(b"uuid", BOX_UUID, content, u32(8 + 16 + len(content) + 4))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"started_at": "2026-11-23T09:15:00"},
        {"duration_s": float("nan")},
        {"mono_s": float("inf")},
        {"sequence": None},
        {"started_at": 5},
    ],
)
def test_a_description_of_another_kind_is_none(change: dict[str, object]) -> None:
    document = json.loads(encode_box(PLAIN)[24:-4])
    text = json.dumps(document | change).encode()
    assert read(box(b"uuid", BOX_UUID, text, u32(8 + 16 + len(text) + 4))) is None


def test_somebody_elses_box_is_none() -> None:
    assert read(encode_box(PLAIN).replace(BOX_UUID, bytes(16))) is None


def test_people_can_read_it() -> None:
    text = encode_box(replace(PLAIN, label="trip")).decode("latin-1")
    assert '"label": "trip"' in text
    assert '"started_at": "2026-11-23T09:15:00Z"' in text
