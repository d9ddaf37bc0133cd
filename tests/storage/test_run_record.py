from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import Now, ProcessIdentity, Profile, Purpose, Run, RunRecord, Session
from edge_agent.storage.run_record import decode_record, encode_record
from tests.storage.footage import run_record

whole = st.integers(0, 2**63)
seconds = st.floats(0, 1e12)
nows = st.builds(Now, seconds, st.datetimes(timezones=st.just(UTC)))
texts = st.text(max_size=20)
runs = st.builds(
    Run, texts, whole, texts, st.sampled_from(Purpose), st.builds(Profile, whole, whole, whole, whole, whole), texts
)
sessions = st.builds(
    Session, texts, texts, st.lists(texts).map(tuple), whole, seconds, st.none() | texts, st.none() | nows
)
records = st.builds(
    RunRecord,
    runs,
    sessions,
    st.lists(texts).map(tuple),
    nows,
    st.none() | st.builds(ProcessIdentity, whole, whole, texts),
    st.none() | nows,
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: RunRecord) -> None:
    assert decode_record(encode_record(record)) == record


@given(st.one_of(st.binary(), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(repr).map(str.encode)))
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (every kind of damage is the same to the caller)
        decode_record(content)


@given(st.integers(0, len(encode_record(run_record())) - 2))
def test_a_torn_record_is_refused(size: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode_record(encode_record(run_record())[:size])


@pytest.mark.parametrize(
    "damage",
    [
        {"v": 2},
        {"run": None},
        {"argv": [1]},
        {"spawned": {"mono_s": 1.0, "wall": "2026-11-23T09:15:00"}},
        {"session": {"id": 5}},
        {"process": {"pid": "1"}},
    ],
)
def test_a_record_with_a_wrong_part_is_refused(damage: dict[str, object]) -> None:
    document = json.loads(encode_record(run_record()))
    with pytest.raises(ValueError):  # noqa: PT011
        decode_record(json.dumps(document | damage).encode())


def test_what_a_newer_agent_added_is_ignored() -> None:
    document = json.loads(encode_record(run_record()))
    document["new"] = 1
    document["run"]["hdr"] = True
    assert decode_record(json.dumps(document).encode()) == run_record()


def test_instants_are_written_in_utc() -> None:
    local = datetime.fromisoformat("2026-11-23T10:15:00+01:00")
    record = replace(run_record(), spawned=Now(1.0, local))
    assert b'"2026-11-23T09:15:00+00:00"' in encode_record(record)
