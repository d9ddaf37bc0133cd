from __future__ import annotations

import asyncio

from edge_agent.mqtt.trial import is_online, try_broker
from tests.fakes.listener import TIMEOUT_S
from tests.fakes.mosquitto import MakeMosquitto, Mosquitto
from tests.fakes.scripted_broker import SUBACK, Script, packet, scripted_broker
from tests.mqtt.gateways import endpoint, make_house, running


async def test_a_good_broker_has_nothing_wrong_and_a_running_agent_notices_nothing(mosquitto: Mosquitto) -> None:
    async with running(make_house(mosquitto.port)) as house:
        await house.until(lambda house: house.gateway.connected)
        assert await try_broker(endpoint(mosquitto.port), "blackbox", "van7", (), b"{}") is None
        mosquitto.publish("blackbox/van7/cmd/ping")
        await house.until(lambda house: house.commands)
        assert house.problems == {}


async def test_a_broker_that_refuses_is_named(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(users={"van7": "s"})
    told = await try_broker(endpoint(mosquitto.port, username="van7", password="wrong"), "blackbox", "van7", (), b"{}")
    assert told is not None
    assert told.startswith("broker_not_authorised: the broker does not let user 'van7' in")


async def test_a_broker_that_is_not_there_is_named(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    told = await try_broker(endpoint(mosquitto.port), "blackbox", "van7", (), b"{}")
    assert told is not None
    assert told.startswith("broker_unreachable:")


async def test_commands_that_would_not_arrive_are_named() -> None:
    script = Script(suback=lambda packet_id, _: packet(SUBACK, packet_id.to_bytes(2, "big") + b"\x00\x87\x01\x01"))
    async with scripted_broker(script) as broker:
        told = await try_broker(endpoint(broker.port), "blackbox", "van7", ("north",), b"{}")
    assert told is not None
    assert told.startswith("acl_subscribe:")
    assert "blackbox/van7/cmd/+" in told
    assert "@north" not in told


async def test_answers_that_would_not_arrive_are_named(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(users={"van7": "s"}, acl="user van7\ntopic read blackbox/#\n")
    told = await try_broker(endpoint(mosquitto.port, username="van7", password="s"), "blackbox", "van7", (), b"{}")
    assert told is not None
    assert told.startswith("acl_publish: the broker does not let this agent publish on blackbox/van7/result (Not auth")


async def test_a_device_is_online_when_the_broker_says_so(mosquitto: Mosquitto) -> None:
    assert not await is_online(endpoint(mosquitto.port), "blackbox", "van7")
    async with running(make_house(mosquitto.port)) as house:
        await house.until(lambda house: house.gateway.connected)
        async with asyncio.timeout(TIMEOUT_S):
            while not await is_online(endpoint(mosquitto.port), "blackbox", "van7"):
                pass
    assert not await is_online(endpoint(mosquitto.port), "blackbox", "van7")
    mosquitto.stop()
    assert not await is_online(endpoint(mosquitto.port), "blackbox", "van7")
