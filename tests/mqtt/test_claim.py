"""Two agents with one device id, and other clients that get in the way."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.mqtt.endpoint import ProtocolVersion
from tests.fakes.listener import Listener
from tests.fakes.mosquitto import Mosquitto
from tests.mqtt.gateways import BOTH_VERSIONS, make_house, running

AVAILABILITY = "blackbox/van7/availability"


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_the_second_agent_with_a_device_id_says_so_and_leaves(
    mosquitto: Mosquitto, protocol: ProtocolVersion
) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        first = make_house(mosquitto.port, boot_id="first", protocol=protocol)
        second = make_house(mosquitto.port, boot_id="second", protocol=protocol)
        async with running(first):
            await listener.message(AVAILABILITY, "online")
            async with running(second):
                assert "van7" in await second.problem("duplicate_device")
                assert not second.gateway.connected
                assert first.gateway.connected
                mosquitto.publish("blackbox/van7/cmd/start")
                await first.until(lambda house: [raw for raw in house.commands if raw.verb == "start"])
                assert second.commands == []
            assert [one.text for one in listener.of(AVAILABILITY)] == ["online"]
            assert {one.document["boot_id"] for one in listener.of("blackbox/van7/info")} == {"first"}


async def test_an_agent_that_died_unnoticed_does_not_keep_the_next_one_out(mosquitto: Mosquitto) -> None:
    mosquitto.publish("blackbox/van7/info", '{"v":1,"boot_id":"dead"}', retain=True)
    mosquitto.publish(AVAILABILITY, "online", retain=True)
    with Listener(mosquitto.port, "blackbox/van7/info") as listener:
        async with running(make_house(mosquitto.port, boot_id="alive")) as house:
            await listener.until(lambda heard: heard and heard[-1].document["boot_id"] == "alive")
            assert house.problems == {}


async def test_an_agent_whose_name_is_announced_by_another_steps_back_and_asks(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port, boot_id="first")) as house:
            await listener.message(AVAILABILITY, "online")
            mosquitto.publish("blackbox/van7/info", '{"v":1,"boot_id":"other"}', retain=True)
            await house.problem("duplicate_device")
            assert not house.gateway.connected
            assert mosquitto.retained(AVAILABILITY) == {AVAILABILITY: "online"}


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_an_offline_in_our_name_is_contradicted(mosquitto: Mosquitto, protocol: ProtocolVersion) -> None:
    with Listener(mosquitto.port, AVAILABILITY) as listener:
        async with running(make_house(mosquitto.port, protocol=protocol)):
            await listener.message(AVAILABILITY, "online")
            mosquitto.publish(AVAILABILITY, "offline", retain=True)
            await listener.until(lambda heard: [one.text for one in heard] == ["online", "offline", "online"])
    assert mosquitto.retained(AVAILABILITY) == {AVAILABILITY: "offline"}


async def test_a_stranger_with_our_client_id_costs_the_id_and_not_the_connection(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, AVAILABILITY) as listener:
        async with running(make_house(mosquitto.port, boot_id="0123456789abcdef")) as house:
            await listener.message(AVAILABILITY, "online")
            command = [*mosquitto.client("mosquitto_sub"), "-i", "edge-agent-van7-01234567", "-t", "nothing"]
            stranger = await asyncio.create_subprocess_exec(*command)
            try:
                assert "goes on as edge-agent-van7-01234567-b" in await house.problem("client_id_taken")
                await house.until(lambda house: house.gateway.connected)
                mosquitto.publish("blackbox/van7/cmd/ping")
                await house.until(lambda house: house.commands)
                assert list(house.problems) == ["client_id_taken"]
                assert stranger.returncode is None
            finally:
                stranger.terminate()
                await stranger.wait()
