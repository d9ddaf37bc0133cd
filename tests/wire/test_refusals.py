"""The corpus of payloads that have broken somebody's agent, each with the code that it must be refused with."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from edge_agent.core.commands import Origin
from edge_agent.core.model import Code, Now
from edge_agent.wire import decode_command

NASTY: list[tuple[str, bytes, Code]] = [
    ("start", b"\xef\xbb\xbf{}", Code.MALFORMED),
    ("start", b"\xef\xbb\xbfdual-640", Code.MALFORMED),
    ("start", "dual-640".encode("utf-16"), Code.MALFORMED),
    ("start", b"dual\x00640", Code.MALFORMED),
    ("stop", b"\x00", Code.MALFORMED),
    ("start", b"\xff", Code.MALFORMED),
    ("start", b"\xed\xa0\x80", Code.MALFORMED),
    ("start", b"\xc0\xaf", Code.MALFORMED),
    ("start", b'{"mode":"caf\xe9"}', Code.MALFORMED),
    ("start", b"x" * 16385, Code.TOO_LARGE),
    ("start", b" " * 16385, Code.TOO_LARGE),
    ("start", b"\x00" * 300_000, Code.TOO_LARGE),
    ("start", b"[" * 16384, Code.MALFORMED),
    ("start", b'{"a":' * 3000, Code.MALFORMED),
    ("start", b'{"a":' + b"[" * 16000, Code.MALFORMED),
    ("start", b'{"a":' * 8 + b"1" + b"}" * 8 + b"x", Code.MALFORMED),
    ("start", b'{"\\"\\"\\"\\"[[[[[[[[[[":' * 500, Code.MALFORMED),
    ("start", b'"' + b'\\"' * 8000, Code.MALFORMED),
    ("start", b"{", Code.MALFORMED),
    ("start", b"{}}", Code.MALFORMED),
    ("start", b"{} {}", Code.MALFORMED),
    ("start", b'{"mode":"dual-640",}', Code.MALFORMED),
    ("start", b"{'mode':'dual-640'}", Code.MALFORMED),
    ("start", b"{mode:dual-640}", Code.MALFORMED),
    ("start", b'["dual-640"]', Code.MALFORMED),
    ("start", b'{"duration":NaN}', Code.MALFORMED),
    ("start", b'{"duration":Infinity}', Code.MALFORMED),
    ("start", b'{"duration":-Infinity}', Code.MALFORMED),
    ("start", b'{"duration":1e999}', Code.OUT_OF_RANGE),
    ("start", b'{"duration":' + b"9" * 5000 + b"}", Code.OUT_OF_RANGE),
    ("start", b'{"duration":-1}', Code.OUT_OF_RANGE),
    ("start", b'{"duration":604801}', Code.OUT_OF_RANGE),
    ("start", b'{"duration":true}', Code.MALFORMED),
    ("start", b'{"duration":[]}', Code.MALFORMED),
    ("start", b'{"duration":{}}', Code.MALFORMED),
    ("start", b'{"duration":""}', Code.MALFORMED),
    ("start", b'{"mode":5}', Code.MALFORMED),
    ("start", b'{"mode":["dual-640"]}', Code.MALFORMED),
    ("start", b'{"mode":"dual-640","mode":"cam0-640"}', Code.MALFORMED),
    ("start", b'{"x":{"y":1,"y":2}}', Code.MALFORMED),
    ("start", b'{"mode":"dual-640","m\\u006fde":"cam0-640"}', Code.MALFORMED),
    ("start", b'{"label":"\\ud800"}', Code.MALFORMED),
    ("start", b'{"\\udfff":1}', Code.MALFORMED),
    ("start", b'{"label":"a\\u0000b"}', Code.MALFORMED),
    ("start", b'{"label":"../../etc/passwd"}', Code.MALFORMED),
    ("start", b'{"label":"a\\nb"}', Code.MALFORMED),
    ("start", b'{"label":"%n%s"}', Code.MALFORMED),
    ("start", b'{"label":"' + b"x" * 65 + b'"}', Code.MALFORMED),
    ("start", '{"label":"\U0001f600"}'.encode(), Code.MALFORMED),
    ("start", b'{"cameras":"cam0"}', Code.MALFORMED),
    ("start", b'{"cameras":[]}', Code.MALFORMED),
    ("start", b'{"cameras":[1]}', Code.MALFORMED),
    ("start", b'{"cameras":["cam0","cam0"]}', Code.MALFORMED),
    ("start", b'{"cameras":["a;reboot"]}', Code.UNKNOWN_CAMERA),
    ("start", b'{"cameras":["cam0"],"resolution":"4k"}', Code.OUT_OF_RANGE),
    ("start", b'{"cameras":["cam0"],"resolution":true}', Code.MALFORMED),
    ("start", b'{"cameras":["cam0"],"mode":"dual-640"}', Code.MALFORMED),
    ("start", b'{"resolution":"720p"}', Code.MALFORMED),
    ("start", b'{"id":5}', Code.MALFORMED),
    ("start", b'{"id":""}', Code.MALFORMED),
    ("start", b'{"id":"' + b"x" * 65 + b'"}', Code.MALFORMED),
    ("start", b'{"id":"a\\nb"}', Code.MALFORMED),
    ("start", b'{"ts":"yesterday"}', Code.MALFORMED),
    ("start", b'{"ts":"2026-11-23T09:15:00"}', Code.MALFORMED),
    ("start", b'{"ts":"2026-13-45T09:15:00Z"}', Code.MALFORMED),
    ("start", b'{"ts":"0001-01-01T00:00:00+23:59"}', Code.MALFORMED),
    ("start", b'{"ts":"9999-12-31T23:59:59-23:59"}', Code.MALFORMED),
    ("start", b'{"ts":1795425300000}', Code.OUT_OF_RANGE),
    ("start", b'{"ts":-1}', Code.OUT_OF_RANGE),
    ("start", b'{"ttl":-1}', Code.OUT_OF_RANGE),
    ("start", b'{"ttl":"soon"}', Code.MALFORMED),
    ("start", b'{"at":true}', Code.MALFORMED),
    ("start", b'{"by":7}', Code.MALFORMED),
    ("start", b'{"v":2}', Code.MALFORMED),
    ("start", b"-1", Code.OUT_OF_RANGE),
    ("start", b"1e9", Code.OUT_OF_RANGE),
    ("start", b"8d", Code.OUT_OF_RANGE),
    ("start", b"../../etc", Code.UNKNOWN_MODE),
    ("start", b"%n%s", Code.UNKNOWN_MODE),
    ("start", b"a;reboot", Code.UNKNOWN_MODE),
    ("start", b"-o", Code.UNKNOWN_MODE),
    ("start", b"a\nb", Code.UNKNOWN_MODE),
    ("start", "\U0001f600".encode(), Code.UNKNOWN_MODE),
    ("start", b"x" * 300, Code.UNKNOWN_MODE),
    ("start", b"all", Code.UNKNOWN_MODE),
    ("start", b"Dual-640", Code.UNKNOWN_MODE),
    ("mode", b"", Code.MALFORMED),
    ("mode", b"PRESS", Code.MALFORMED),
    ("mode", b"../../etc", Code.UNKNOWN_MODE),
    ("duration", b"", Code.MALFORMED),
    ("duration", b"5 parsecs", Code.MALFORMED),
    ("duration", b"-5", Code.OUT_OF_RANGE),
    ("duration", b"1e9", Code.OUT_OF_RANGE),
    ("duration", b"1e9999", Code.OUT_OF_RANGE),
    ("duration", b"nan", Code.MALFORMED),
    ("duration", b"inf", Code.MALFORMED),
    ("duration", b"s", Code.MALFORMED),
    ("duration", b"1_000", Code.MALFORMED),
    ("duration", b"0x10", Code.MALFORMED),
    ("duration", b"30m1h", Code.MALFORMED),
    ("duration", "\u0661\u0662".encode(), Code.MALFORMED),
    ("record", b"", Code.MALFORMED),
    ("record", b"maybe", Code.MALFORMED),
    ("record", b"2", Code.MALFORMED),
    ("stream", b'{"state":null}', Code.MALFORMED),
    ("snapshot", b"../cam0", Code.UNKNOWN_CAMERA),
    ("snapshot", b'{"camera":"all"}', Code.UNKNOWN_CAMERA),
    ("lock", b"0", Code.OUT_OF_RANGE),
    ("lock", b"everything", Code.MALFORMED),
    ("lock", b'{"before":60,"from":"2026-11-23T09:15:00Z"}', Code.MALFORMED),
    ("lock", b'{"from":"2026-11-23T09:15:00Z","to":"2026-11-23T09:14:00Z"}', Code.OUT_OF_RANGE),
    ("unlock", b"", Code.MALFORMED),
    ("unlock", b"a/b", Code.MALFORMED),
    ("clip", b"", Code.MALFORMED),
    ("clip", b"cam0", Code.MALFORMED),
    ("clip", b'{"camera":"cam0","from":1}', Code.MALFORMED),
    ("clip", b'{"camera":"cam0","from":2,"to":1}', Code.OUT_OF_RANGE),
    ("stop", b"now", Code.MALFORMED),
    ("ping", b"pong", Code.MALFORMED),
    ("restart", b"yes", Code.MALFORMED),
    ("", b"", Code.UNKNOWN_VERB),
    ("reboot", b"", Code.UNKNOWN_VERB),
    ("START", b"", Code.UNKNOWN_VERB),
    ("start\x00", b"", Code.UNKNOWN_VERB),
    ("\ud800", b"", Code.UNKNOWN_VERB),
    ("x" * 60_000, b"", Code.UNKNOWN_VERB),
    ("reboot", b"{broken", Code.UNKNOWN_VERB),
]


@pytest.mark.parametrize(("verb", "payload", "code"), NASTY, ids=range(len(NASTY)))
def test_a_bad_payload_is_refused_by_code_with_a_sentence_that_fits_into_a_result(
    verb: str, payload: bytes, code: Code
) -> None:
    begin_s = time.process_time()
    command = decode_command(
        verb,
        payload,
        received=Now(1.0, datetime(2026, 11, 23, 9, 15, tzinfo=UTC)),
        origin=Origin.MQTT,
        new_id=lambda: "made",
    )
    assert time.process_time() - begin_s < 0.5
    assert command.body is None
    assert command.refusal is not None
    assert command.refusal.code is code, command.refusal.message
    assert 10 < len(command.refusal.message) < 400
    assert command.refusal.message.isprintable()
    assert len(command.verb) <= 64
    json.dumps([command.id, command.verb, command.refusal.message, command.warnings], ensure_ascii=False).encode()
