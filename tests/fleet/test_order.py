from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from edge_agent.core.commands import Origin, Verb
from edge_agent.core.model import Now
from edge_agent.fleet.order import OrderRefused, compose
from edge_agent.wire import decode_command

NOW = Now(5.0, datetime(2026, 11, 23, 9, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("verb", "text", "keys"),
    [
        ("start", "", {}),
        ("start", "dual-640", {"mode": "dual-640"}),
        ("start", "1h30m", {"duration": "1h30m"}),
        ("start", ' {"cameras": ["cam0"], "label": "tour 7"} ', {"cameras": ["cam0"], "label": "tour 7"}),
        ("duration", "90", {"duration": "90"}),
        ("record", "ON", {"state": "ON"}),
        ("snapshot", "cam1", {"camera": "cam1"}),
        ("unlock", "tour 7", {"label": "tour 7"}),
        ("ping", "PRESS", {}),
    ],
)
def test_what_a_person_types_becomes_the_json_that_means_the_same(verb: str, text: str, keys: dict[str, str]) -> None:
    order = compose(verb, text, order_id="one", by="me", now=NOW)
    assert json.loads(order.payload) == {"id": "one", "by": "me", **keys}
    assert (order.id, order.verb) == ("one", Verb(verb))
    typed = decode_command(verb, text.encode(), received=NOW, origin=Origin.MQTT, new_id=lambda: "one")
    sent = decode_command(verb, order.payload, received=NOW, origin=Origin.MQTT, new_id=lambda: "none")
    assert (sent.body, sent.id, sent.warnings) == (typed.body, "one", ())


def test_an_id_and_a_sender_of_ones_own_count() -> None:
    order = compose("ping", '{"id": "mine", "by": "rule 5"}', order_id="one", by="me", now=NOW)
    assert order.id == "mine"
    assert json.loads(order.payload) == {"id": "mine", "by": "rule 5"}


def test_an_order_knows_how_far_its_common_start_lies_ahead() -> None:
    ahead = compose("start", '{"at": "2026-11-23T09:15:08Z"}', order_id="one", by="me", now=NOW)
    late = compose("start", '{"at": "2026-11-23T09:14:59Z"}', order_id="one", by="me", now=NOW)
    assert (ahead.ahead_s, late.ahead_s) == (8.0, 0.0)


@pytest.mark.parametrize(
    ("verb", "text", "told"),
    [
        ("dance", "", "'dance' is not a verb"),
        ("duration", "soon", "duration: 'soon' is not a duration"),
        ("clip", "", "clip does not say its camera"),
        ("start", '{"mode": "dual-640", "mode": "demo"}', "mode"),
        ("start", "x" * 20_000, "bytes"),
    ],
)
def test_what_no_device_would_obey_is_refused_with_the_reason(verb: str, text: str, told: str) -> None:
    with pytest.raises(OrderRefused, match=told):
        compose(verb, text, order_id="one", by="me", now=NOW)
