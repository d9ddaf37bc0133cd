from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.messages import Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.uplink import Epoch, Uplink
from tests.fakes.listener import TIMEOUT_S, Listener
from tests.fakes.mosquitto import MakeMosquitto, Mosquitto
from tests.fakes.scripted_broker import CONNACK, CONNECT, Script, packet, scripted_broker
from tests.mqtt.gateways import endpoint


class Caller:
    """The smallest house that an uplink can have."""

    def __init__(self, to: Endpoint, **options: Any) -> None:
        self.epochs = 0
        self.greetings = 0
        self.messages: list[Incoming] = []
        self.problems: dict[str, str] = {}
        self.delays_s: list[float] = []
        self._changed = asyncio.Event()
        epoch = Epoch(self.open, self.received, self.greeted, lambda: [Message("state", b"bye", retain=True)])
        options.setdefault("jitter", self.no_delay)
        self.uplink = Uplink(to, epoch, self.tell, spare_client_id="spare", **options)

    def no_delay(self, low_s: float, high_s: float) -> float:
        """Note what the delay could have been, and take a short one."""
        self.delays_s.append(high_s)
        self._changed.set()
        return min(low_s + 0.01, high_s)

    async def open(self, session: Session) -> Sequence[Message]:
        await session.subscribe([Subscription("cmd")])
        self.epochs += 1
        self._changed.set()
        return [Message("state", f"epoch {self.epochs}".encode(), retain=True)]

    def received(self, message: Incoming) -> None:
        self.messages.append(message)
        self._changed.set()

    def greeted(self) -> None:
        self.greetings += 1
        self._changed.set()

    def tell(self, code: str, message: str | None) -> None:
        if message is None:
            self.problems.pop(code, None)
        else:
            self.problems[code] = message
        self._changed.set()

    async def until(self, wanted: Any) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def running(caller: Caller) -> AsyncIterator[Caller]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(caller.uplink.run(), name="uplink")
        try:
            yield caller
        finally:
            await caller.uplink.stop()
            task.cancel()


async def test_each_restart_of_the_broker_is_an_epoch_of_its_own(mosquitto: Mosquitto) -> None:
    async with running(Caller(endpoint(mosquitto.port))) as caller:
        for count in range(1, 6):
            await caller.until(lambda count=count: caller.greetings == count)
            mosquitto.publish("cmd", str(count))
            await caller.until(lambda count=count: len(caller.messages) == count)
            mosquitto.restart()
        await caller.until(lambda: caller.greetings == 6)
        assert [message.payload for message in caller.messages] == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_loss_and_a_return_are_logged_once_each(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_agent.mqtt")
    async with running(Caller(endpoint(mosquitto.port))) as caller:
        await caller.until(lambda: caller.greetings == 1)
        mosquitto.stop()
        await caller.until(lambda: len(caller.delays_s) > 8)
        mosquitto.start()
        await caller.until(lambda: caller.greetings == 2)
        assert caller.problems == {}
    lost = [record for record in caplog.records if "unavailable" in record.message]
    assert [record.message.split()[2] for record in lost] == ["trouble=broker_lost", "trouble=broker_unreachable"]
    assert sum("broker connected" in record.message for record in caplog.records) == 2


async def test_the_delay_grows_to_thirty_seconds_and_begins_below_one(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    async with running(Caller(endpoint(mosquitto.port))) as caller:
        await caller.until(lambda: caller.problems)
        await caller.until(lambda: len(caller.delays_s) >= 8)
        assert caller.delays_s[:8] == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_facts_of_a_dying_connection_are_sent_again(mosquitto: Mosquitto) -> None:
    script = Script(puback=lambda _: None)
    async with scripted_broker(script) as broker, running(Caller(endpoint(broker.port))) as caller:
        caller.uplink.send_fact(Message("event", b"1"))
        await broker.until(lambda: "event" in broker.topics())
        script.puback = Script().puback
        broker.hang_up()
        await caller.until(lambda: caller.greetings == 1)
        assert broker.topics() == ["state", "event", "state", "event"]


@pytest.mark.parametrize("qos", [0, 1])
async def test_who_wants_to_know_hears_when_the_broker_has_a_message(mosquitto: Mosquitto, qos: int) -> None:
    taken: list[str] = []
    async with running(Caller(endpoint(mosquitto.port))) as caller:
        caller.uplink.send_fact(Message("event", b"1", qos=qos, taken=lambda: taken.append("event")))
        assert taken == []
        await caller.until(lambda: caller.greetings)
        caller.uplink.send_fact(Message("event", b"2"))
        await caller.uplink.stop()
    assert taken == ["event"]


async def test_stopping_says_goodbye_after_everything_else(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "#") as listener:
        async with running(Caller(endpoint(mosquitto.port))) as caller:
            await caller.until(lambda: caller.greetings)
            for number in range(100):
                caller.uplink.send_fact(Message("event", str(number).encode()))
        await listener.message("state", "bye")
        assert [one.text for one in listener.heard] == ["epoch 1", *map(str, range(100)), "bye"]


async def test_a_cancelled_uplink_says_goodbye_too(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "#") as listener:
        caller = Caller(endpoint(mosquitto.port, will=Message("state", b"will", retain=True)))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(caller.uplink.run(), name="uplink")
            await caller.until(lambda: caller.greetings)
            task.cancel()
        await listener.message("state", "bye")
        assert [one.text for one in listener.heard] == ["epoch 1", "bye"]


async def test_a_broker_that_hangs_keeps_nobody_from_stopping(mosquitto: Mosquitto) -> None:
    async with running(Caller(endpoint(mosquitto.port))) as caller:
        await caller.until(lambda: caller.greetings)
        mosquitto.pause()
        async with asyncio.timeout(TIMEOUT_S):
            await caller.uplink.stop()
        mosquitto.resume()


async def test_a_topic_that_the_rules_forbid_is_a_problem_until_it_is_allowed(make_mosquitto: MakeMosquitto) -> None:
    acl = "user van7\ntopic readwrite state\ntopic read cmd\n"
    mosquitto = make_mosquitto(users={"van7": "s"}, acl=acl)
    taken: list[str] = []
    async with running(Caller(endpoint(mosquitto.port, username="van7", password="s"))) as caller:
        await caller.until(lambda: caller.greetings)
        caller.uplink.send_fact(Message("event", b"1", taken=lambda: taken.append("refused")))
        await caller.until(lambda: caller.problems)
        assert list(caller.problems) == ["acl_publish"]
        assert "event" in caller.problems["acl_publish"]
        (mosquitto.directory / "acl").write_text(f"{acl}topic write event\n")
        mosquitto.reload()
        caller.uplink.send_fact(Message("event", b"2"))
        await caller.until(lambda: caller.problems == {})
    assert taken == []


async def test_a_message_over_the_broker_s_limit_is_a_problem_and_no_loss_of_the_rest() -> None:
    limit = packet(CONNACK, b"\x00\x00\x05\x27\x00\x00\x04\x00")  # Maximum Packet Size 1024
    async with scripted_broker(Script(connack=limit)) as broker, running(Caller(endpoint(broker.port))) as caller:
        await caller.until(lambda: caller.greetings)
        caller.uplink.send_state(Message("picture", bytes(2000)))
        caller.uplink.send_fact(Message("event", b"1"))
        await caller.until(lambda: "message_too_large" in caller.problems)
        assert "picture" in caller.problems["message_too_large"]
        caller.uplink.send_state(Message("picture", bytes(20)))
        await broker.until(lambda: len(broker.topics()) == 3)
        assert caller.problems == {}
        assert sorted(broker.topics()) == ["event", "picture", "state"]


async def test_a_refused_client_comes_back_when_it_is_let_in() -> None:
    script = Script(connack=packet(CONNACK, b"\x00\x87\x00"))
    async with scripted_broker(script) as broker, running(Caller(endpoint(broker.port))) as caller:
        await caller.until(lambda: "broker_not_authorised" in caller.problems)
        script.connack = Script().connack
        await caller.until(lambda: caller.greetings)
        assert caller.problems == {}


async def test_a_client_id_taken_by_the_broker_s_word_is_not_taken_back() -> None:
    script = Script(then=[packet(14, b"\x8e")])
    async with scripted_broker(script) as broker, running(Caller(endpoint(broker.port))) as caller:
        await caller.until(lambda: "client_id_taken" in caller.problems)
        script.then = []
        await caller.until(lambda: caller.greetings)
        ids = [body[-len(b"edge-agent-van7") :] for kind, body in broker.received if kind == CONNECT]
        assert ids[0] == b"edge-agent-van7"
        assert ids[-1].endswith(b"spare")
        assert list(caller.problems) == ["client_id_taken"]


async def test_no_more_is_sent_than_is_acknowledged() -> None:
    async with scripted_broker(Script(puback=lambda _: None)) as broker:
        async with running(Caller(endpoint(broker.port))) as caller:
            for number in range(100):
                caller.uplink.send_fact(Message("event", str(number).encode()))
            await broker.until(lambda: len(broker.topics()) >= 16)
        assert broker.topics() == ["state", *["event"] * 15]


async def test_a_flapping_broker_leaves_nothing_behind() -> None:
    async with scripted_broker(Script()) as broker, running(Caller(endpoint(broker.port))) as caller:
        descriptors = []
        for count in range(1, 31):
            await caller.until(lambda count=count: caller.greetings == count)
            descriptors.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - only counted
            broker.hang_up()
        gc.collect()
        sessions = [one for one in gc.get_objects() if isinstance(one, Session)]
        assert len(sessions) <= 2
        assert max(descriptors[5:]) <= max(descriptors[:5])
        assert [thread.name for thread in threading.enumerate()].count("mqtt-connect") <= 1


async def test_a_connection_that_went_dead_is_replaced(mosquitto: Mosquitto) -> None:
    async with running(Caller(endpoint(mosquitto.port, keepalive_s=1))) as caller:
        await caller.until(lambda: caller.greetings == 1)
        mosquitto.pause()
        try:
            await caller.until(lambda: "broker_lost" in caller.problems)
        finally:
            mosquitto.resume()
        await caller.until(lambda: caller.greetings == 2)
        assert caller.problems == {}
