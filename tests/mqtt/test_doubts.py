from __future__ import annotations

import asyncio

from edge_agent.mqtt.doubts import Doubts
from edge_agent.mqtt.intake import Intake, RawCommand
from edge_agent.mqtt.messages import Incoming
from edge_agent.mqtt.topics import TopicTree
from tests.fakes.listener import TIMEOUT_S
from tests.mqtt.gateways import read_clock

START = Incoming("blackbox/van7/cmd/start", b"dual-640")


async def test_a_command_is_obeyed_where_nobody_shows_what_the_broker_keeps() -> None:
    intake = Intake(TopicTree("blackbox"), "van7", (), as_published=False)
    decided: asyncio.Queue[RawCommand] = asyncio.Queue()
    doubts = Doubts(intake, "blackbox/van7/result", decided.put_nowait)
    raw = intake.judge(START, read_clock())
    assert raw is not None
    assert doubts.takes(START, raw)
    async with asyncio.timeout(TIMEOUT_S):
        assert await decided.get() == raw
