from __future__ import annotations

import asyncio

import pytest

from edge_agent.app.commanding import Outcome, Target, give
from edge_agent.fleet.answers import Answer
from edge_agent.fleet.order import Order, compose
from edge_agent.host.clock import Clock
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble
from tests.fakes.fleet import config_for
from tests.fakes.listener import Listener
from tests.fakes.mosquitto import Mosquitto

TIMEOUT_S = 30.0


def order() -> Order:
    return compose("start", "", order_id="one", by="test", now=Clock().now())


async def give_to(port: int, target: Target, *, timeout_s: float = TIMEOUT_S, protocol: str = "5") -> Outcome:
    heard: list[Answer] = []
    return await give(config_for(port, protocol=protocol), order(), target, timeout_s, heard.append)


async def test_an_order_carries_its_response_topic_and_dies_with_the_patience_of_its_sender(
    mosquitto: Mosquitto,
) -> None:
    with Listener(mosquitto.port, "blackbox/+/cmd/+") as listener:
        await give_to(mosquitto.port, Target("van7"), timeout_s=0.5)
        sent = await listener.message("blackbox/van7/cmd/start")
    assert sent.properties["MessageExpiryInterval"] == 1
    assert sent.properties["ResponseTopic"].startswith("blackbox/@reply/")
    assert (sent.retain, sent.qos) == (False, 1)
    assert sent.document == {"id": "one", "by": "test"}


async def test_with_an_old_protocol_the_result_topics_are_watched(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/+/cmd/+") as listener:
        async with asyncio.TaskGroup() as tasks:
            given = tasks.create_task(give_to(mosquitto.port, Target("van7"), protocol="3.1.1"), name="give")
            await listener.message("blackbox/van7/cmd/start")
            answer = '{"id": "one", "device": "van7", "status": "succeeded", "code": "ok", "message": "fine"}'
            await asyncio.to_thread(mosquitto.publish, "blackbox/van7/result", answer)
    assert given.result().succeeded


async def test_a_lost_connection_ends_the_waiting_and_says_why(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/+/cmd/+") as listener:
        async with asyncio.TaskGroup() as tasks:
            given = tasks.create_task(lost(mosquitto.port), name="give")
            await listener.message("blackbox/van7/cmd/start")
            await asyncio.to_thread(mosquitto.kill)
    assert given.result() is Trouble.LOST


async def lost(port: int) -> Trouble:
    with pytest.raises(BrokerUnavailable) as error:
        await give_to(port, Target("van7"))
    return error.value.trouble
