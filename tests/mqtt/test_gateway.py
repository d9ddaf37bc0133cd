from __future__ import annotations

import pytest

from edge_agent.mqtt.endpoint import ProtocolVersion
from tests.fakes.listener import Heard, Listener
from tests.fakes.mosquitto import MakeMosquitto, Mosquitto
from tests.fakes.scripted_broker import Script, scripted_broker
from tests.mqtt.gateways import BOTH_VERSIONS, House, make_house, running

GREETING = [
    "blackbox/van7/info",
    "blackbox/van7/status",
    "blackbox/van7/telemetry",
    "blackbox/van7/cam0/availability",
    "homeassistant/device/van7/config",
    "blackbox/van7/cam0/preview",
    "blackbox/van7/availability",
]


def furnished(port: int, protocol: ProtocolVersion = ProtocolVersion.V5) -> House:
    house = make_house(port, protocol=protocol)
    house.gateway.discovery("homeassistant/device/van7/config", {"o": {"name": "edge-agent"}})
    house.gateway.preview("cam0", b"\xff\xd8small\xff\xd9")
    house.gateway.camera_availability("cam0", online=True)
    return house


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_connection_begins_with_everything_the_broker_has_to_know(
    mosquitto: Mosquitto, protocol: ProtocolVersion
) -> None:
    with Listener(mosquitto.port, "#") as listener:
        async with running(furnished(mosquitto.port, protocol)):
            await listener.message("blackbox/van7/availability", "online")
            assert [heard.topic for heard in listener.heard] == GREETING
            assert [heard.topic for heard in listener.heard if not heard.retain] == ["blackbox/van7/cam0/preview"]
    assert mosquitto.retained("blackbox/van7/availability") == {"blackbox/van7/availability": "offline"}


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_broker_that_forgot_everything_gets_everything_again(
    mosquitto: Mosquitto, protocol: ProtocolVersion
) -> None:
    async with running(furnished(mosquitto.port, protocol)) as house:
        with Listener(mosquitto.port, "#") as listener:
            await listener.message("blackbox/van7/availability", "online")
        mosquitto.stop()
        await house.problem("broker_unreachable")
        house.gateway.status({"v": 1, "device": "van7", "state": "recording"})
        mosquitto.start()
        with Listener(mosquitto.port, "#") as listener:
            await listener.message("blackbox/van7/availability", "online")
        assert mosquitto.retained("blackbox/van7/status") == {
            "blackbox/van7/status": '{"v":1,"device":"van7","state":"recording"}'
        }
        await house.until(lambda house: not house.problems)


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_command_is_handed_on_and_answered(mosquitto: Mosquitto, protocol: ProtocolVersion) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port, protocol=protocol)) as house:
            await listener.message("blackbox/van7/availability", "online")
            mosquitto.publish("blackbox/van7/cmd/start", '{"id":"a1"}')
            result = await listener.message("blackbox/van7/result")
            assert result.document["id"] == "a1"
            assert not result.retain
            [raw] = house.commands
            assert (raw.verb, raw.payload, raw.retained, raw.group) == ("start", b'{"id":"a1"}', False, None)


async def test_an_answer_also_goes_to_the_response_topic_with_its_correlation(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+", "replies/me") as listener:
        async with running(make_house(mosquitto.port)) as house:
            await listener.message("blackbox/van7/availability", "online")
            listener.publish(
                "blackbox/van7/cmd/ping",
                b"",
                ResponseTopic="replies/me",
                CorrelationData=b"\x00\x01",
                MessageExpiryInterval=60,
                UserProperty=("by", "tester"),
            )
            reply = await listener.message("replies/me")
            result = await listener.message("blackbox/van7/result")
            assert reply.payload == result.payload
            assert reply.properties["CorrelationData"] == result.properties["CorrelationData"] == b"\x00\x01"
            [raw] = house.commands
            assert raw.properties == (("by", "tester"),)
            assert raw.expires_at is not None
            assert 50 < (raw.expires_at - raw.received.wall).total_seconds() <= 60


@pytest.mark.parametrize("reply_to", ["blackbox/van8/cmd/start", "blackbox/@all/cmd/stop", "blackbox/van7/result"])
async def test_a_response_topic_cannot_make_the_agent_command_others(mosquitto: Mosquitto, reply_to: str) -> None:
    with Listener(mosquitto.port, "#") as listener:
        async with running(make_house(mosquitto.port)):
            await listener.message("blackbox/van7/availability", "online")
            listener.publish("blackbox/van7/cmd/ping", b'{"id":"1"}', ResponseTopic=reply_to)
            await listener.message("blackbox/van7/result")
            listener.publish("blackbox/van7/cmd/ping", b'{"id":"2"}')
            await listener.until(lambda heard: [one for one in heard if one.payload.startswith(b'{"v":1,"id":"2"')])
            assert [one.document["id"] for one in listener.of("blackbox/van7/result")] == ["1", "2"]
            assert reply_to == "blackbox/van7/result" or listener.of(reply_to) == []


async def test_commands_to_a_group_reach_its_members_only(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/+/availability") as listener:
        member = make_house(mosquitto.port, device="van1", client_id="van1", boot_id="b1", groups=("north",))
        other = make_house(mosquitto.port, device="van2", client_id="van2", boot_id="b2", groups=("south",))
        async with running(member), running(other):
            for device in ("van1", "van2"):
                await listener.message(f"blackbox/{device}/availability", "online")
            mosquitto.publish("blackbox/@north/cmd/start", "dual-640")
            mosquitto.publish("blackbox/@all/cmd/stop")
            await other.until(lambda house: house.commands)
            await member.until(lambda house: len(house.commands) == 2)
            assert [(raw.verb, raw.group) for raw in member.commands] == [("start", "north"), ("stop", "all")]
            assert [(raw.verb, raw.group) for raw in other.commands] == [("stop", "all")]


async def test_both_answers_to_a_group_command_keep_their_order(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port)) as house:
            await listener.message("blackbox/van7/availability", "online")
            for number in range(5):
                mosquitto.publish("blackbox/@all/cmd/start", f'{{"id":"g{number}"}}')
            await house.until(lambda house: len(house.commands) == 5)
            for number in range(5):
                house.gateway.result({"id": f"g{number}", "status": "late"})
            await listener.until(lambda heard: len([one for one in heard if one.topic.endswith("result")]) == 10)
            answers = [one.document for one in listener.of("blackbox/van7/result")]
            for number in range(5):
                statuses = [one["status"] for one in answers if one["id"] == f"g{number}"]
                assert statuses == ["succeeded", "late"]


async def test_a_retained_command_is_answered_once_over_all_connections(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(persistence=True)
    mosquitto.publish("blackbox/van7/cmd/start", '{"id":"old"}', retain=True)
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port)) as house:
            result = await listener.message("blackbox/van7/result")
            assert result.document == {"v": 1, "id": "old", "verb": "start", "status": "rejected"}
            assert "mosquitto_pub -r -n -t blackbox/van7/cmd/start" in await house.problem("retained_command")
            for _ in range(2):
                heard = len(listener.heard)
                mosquitto.restart()
                await listener.message("blackbox/van7/availability", "online", after=heard)
            assert [raw.retained for raw in house.commands] == [True]
            mosquitto.publish("blackbox/van7/cmd/start", "", retain=True)
            await house.until(lambda house: "retained_command" not in house.problems)
            assert len(house.commands) == 1


async def test_a_retained_command_is_seen_when_it_arrives_live(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port)) as house:
            await listener.message("blackbox/van7/availability", "online")
            mosquitto.publish("blackbox/van7/cmd/start", "dual-640", retain=True)
            await house.problem("retained_command")
            assert [raw.retained for raw in house.commands] == [True]


async def test_a_retained_command_is_seen_live_over_3_1_1_too(mosquitto: Mosquitto) -> None:
    async with running(make_house(mosquitto.port, protocol=ProtocolVersion.V311, groups=("north",))) as house:
        await house.until(lambda house: house.gateway.connected)
        for topic in ("blackbox/van7/cmd/start", "blackbox/@north/cmd/start"):
            house.commands.clear()
            mosquitto.publish(topic, "dual-640", retain=True)
            assert topic in await house.problem("retained_command")
            mosquitto.publish(topic, "cam0-640")
            await house.until(lambda house: len(house.commands) == 2)
            mosquitto.publish(topic, "", retain=True)
            await house.until(lambda house: not house.problems)
            told = [(raw.payload, raw.retained, raw.refusal is not None) for raw in house.commands]
            assert told == [(b"dual-640", True, False), (b"cam0-640", False, False), (b"", False, True)]


async def test_commands_that_come_at_once_over_3_1_1_are_each_obeyed_in_their_order(mosquitto: Mosquitto) -> None:
    mosquitto.publish("blackbox/van7/cmd/mode", "dual-640", retain=True)
    async with running(make_house(mosquitto.port, protocol=ProtocolVersion.V311)) as house:
        await house.problem("retained_command")
        with Listener(mosquitto.port) as sender:
            for number in range(10):
                sender.publish("blackbox/van7/cmd/start", str(number), qos=0)
            sender.publish("blackbox/van7/cmd/stop", "x", retain=True)
        await house.until(lambda house: len(house.commands) == 12)
        assert [raw.payload for raw in house.commands] == [b"dual-640", *(b"%d" % number for number in range(10)), b"x"]
        assert [raw.retained for raw in house.commands] == [True, *[False] * 10, True]
        assert "cmd/mode, blackbox/van7/cmd/stop" in house.problems["retained_command"]


async def test_clearing_a_retained_command_of_a_3_1_1_agent_starts_nothing(mosquitto: Mosquitto) -> None:
    mosquitto.publish("blackbox/van7/cmd/start", "dual-640", retain=True)
    async with running(make_house(mosquitto.port, protocol=ProtocolVersion.V311)) as house:
        await house.problem("retained_command")
        mosquitto.publish("blackbox/van7/cmd/start", "", retain=True)
        await house.until(lambda house: len(house.commands) == 2)
        assert house.commands[1].refusal is not None
        assert house.problems == {}
        mosquitto.publish("blackbox/van7/cmd/start", "")
        await house.until(lambda house: len(house.commands) == 3)
        assert house.commands[2].refusal is None
        assert not house.commands[2].retained


async def test_a_flood_is_answered_one_by_one_and_beyond_that_with_its_count(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port)) as house:
            await listener.message("blackbox/van7/availability", "online")
            for _ in range(300):
                listener.publish("blackbox/van7/cmd/ping", b"", qos=0)
            refused = await house.until(
                lambda house: [
                    raw.refusal for raw in house.commands if raw.refusal and "commands refused" in str(raw.refusal)
                ]
            )
            assert refused[0].code == "rate_limited"
            assert len(house.commands) < 200


async def test_home_assistant_s_birth_is_noticed_live_and_not_from_the_past(mosquitto: Mosquitto) -> None:
    mosquitto.publish("homeassistant/status", "online", retain=True)
    with Listener(mosquitto.port, "blackbox/van7/+") as listener:
        async with running(make_house(mosquitto.port, birth_topic="homeassistant/status")) as house:
            await listener.message("blackbox/van7/availability", "online")
            mosquitto.publish("homeassistant/status", "offline")
            mosquitto.publish("homeassistant/status", "online")
            await house.until(lambda house: house.births)
            assert house.births == 1
            heard = len(listener.heard)
            house.gateway.announce()
            await listener.message("blackbox/van7/availability", "online", after=heard)
            topics = [one.topic for one in listener.heard[heard:]]
            assert topics == [f"blackbox/van7/{kind}" for kind in ("info", "status", "telemetry", "availability")]


async def test_state_of_a_time_offline_is_not_replayed_and_events_are(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    async with running(make_house(mosquitto.port)) as house:
        await house.problem("broker_unreachable")
        for number in range(3):
            house.gateway.status({"state": number})
            house.gateway.event({"event_type": "segment_stored", "at": number})
        mosquitto.start()
        with Listener(mosquitto.port, "blackbox/van7/+") as listener:
            await listener.until(lambda heard: len([one for one in heard if one.topic.endswith("event")]) == 3)
            assert [one.document["at"] for one in listener.of("blackbox/van7/event")] == [0, 1, 2]
            assert [one.document["state"] for one in listener.of("blackbox/van7/status")] == [2]


@pytest.mark.slow
async def test_what_is_announced_again_is_all_but_snapshots_and_previews_come_twice(mosquitto: Mosquitto) -> None:
    async with running(furnished(mosquitto.port)) as house:
        with Listener(mosquitto.port, "blackbox/van7/cam0/preview") as listener:
            await listener.until(lambda heard: heard)
        house.gateway.snapshot("cam0", b"\xff\xd8large\xff\xd9")
        with Listener(mosquitto.port, "blackbox/van7/#", "homeassistant/#") as listener:
            await listener.message("blackbox/van7/cam0/snapshot")
            before = len(listener.heard)
            house.gateway.announce()
            await listener.until(lambda heard: [one.topic for one in heard[before:]] == [*GREETING, GREETING[-2]])


async def test_a_large_picture_and_a_removed_discovery_reach_the_broker(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "#") as listener:
        async with running(furnished(mosquitto.port)) as house:
            await listener.message("blackbox/van7/availability", "online")
            picture = b"\xff\xd8" + bytes(700_000) + b"\xff\xd9"
            house.gateway.snapshot("cam0", picture)
            house.gateway.discovery("homeassistant/device/van7/config", None)

            def both(heard: list[Heard]) -> bool:
                payloads = {one.topic: one.payload for one in heard}
                return (
                    payloads.get("blackbox/van7/cam0/snapshot") == picture
                    and payloads["homeassistant/device/van7/config"] == b""
                )

            await listener.until(both)


async def test_what_lies_on_other_topics_is_found_before_the_greeting(mosquitto: Mosquitto) -> None:
    for topic in ("homeassistant/sensor/x/cpu/config", "homeassistant/sensor/y/cpu/config", "homeassistant/x/config"):
        mosquitto.publish(topic, "{}", retain=True)
    house = furnished(mosquitto.port)
    found: list[tuple[str, ...]] = []
    with Listener(mosquitto.port, "blackbox/#") as listener:

        def note(topics: tuple[str, ...]) -> None:
            assert listener.heard == []
            found.append(topics)

        house.gateway.look_for("homeassistant/+/x/+/config", note)
        async with running(house):
            await listener.message("blackbox/van7/availability", "online")
    assert found == [("homeassistant/sensor/x/cpu/config",)]


async def test_a_broker_that_cuts_the_connection_of_who_looks_is_looked_at_twice_at_the_most() -> None:
    script = Script()
    accept = script.suback

    def suback(packet_id: int, count: int) -> bytes | None:
        if b"homeassistant/+" in broker.received[-1][1]:
            broker.hang_up()
            return None
        return accept(packet_id, count)

    script.suback = suback
    async with scripted_broker(script) as broker:
        house = furnished(broker.port)
        found: list[tuple[str, ...]] = []
        house.gateway.look_for("homeassistant/+/x/+/config", found.append)
        async with running(house):
            await broker.until(lambda: "blackbox/van7/availability" in broker.topics())
    assert found == [()]
    assert broker.connections == 3


async def test_what_does_not_fit_while_the_broker_is_away_is_counted(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    async with running(make_house(mosquitto.port)) as house:
        await house.problem("broker_unreachable")
        for number in range(3000):
            house.gateway.event({"at": number})
        mosquitto.start()
        with Listener(mosquitto.port, "blackbox/van7/event") as listener:
            text = await house.problem("events_lost")
            assert text.startswith("2000 messages lost")
            await listener.until(lambda heard: heard and heard[-1].document["at"] == 2999)
            assert [one.document["at"] for one in listener.heard][-50:] == list(range(2950, 3000))
