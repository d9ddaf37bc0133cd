"""The access rules of deploy/fleet on a real mosquitto: who may do what, and who may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from edge_agent.app.commanding import Target, give
from edge_agent.app.simulation import Crowd, Simulation
from edge_agent.app.watching import watch
from edge_agent.config import Config, parse
from edge_agent.fleet.order import compose
from edge_agent.host.clock import Clock
from edge_agent.mqtt.endpoint import Endpoint, Tls
from edge_agent.mqtt.messages import Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble
from tests.fleet.shipped import ShippedBroker

TIMEOUT_S = 30
USERS = ("van7", "van8", "sim-0001", "sim-0002", "sim-0003", "controller", "viewer", "homeassistant")
ROLES = ("van7", "controller", "viewer", "homeassistant")

MAY_WRITE: dict[str, set[str]] = {
    "blackbox/van7/status": {"van7"},
    "blackbox/van7/cam0/snapshot": {"van7"},
    "blackbox/van7/cmd/start": {"van7", "controller", "homeassistant"},
    "blackbox/van8/status": set(),
    "blackbox/van8/cmd/start": {"controller", "homeassistant"},
    "blackbox/@all/cmd/stop": {"controller", "homeassistant"},
    "blackbox/@vans/cmd/stop": {"controller", "homeassistant"},
    "blackbox/@reply/4711": {"van7", "controller", "homeassistant"},
    "blackbox/viewer/status": set(),
    "homeassistant/device/edge_agent_van7/config": {"van7", "homeassistant"},
    "homeassistant/device/edge_agent_van8/config": {"homeassistant"},
    "somewhere/else": set(),
}
MAY_READ: dict[str, set[str]] = {
    "blackbox/van7/cmd/start": {"van7", "controller", "homeassistant"},
    "blackbox/van8/cmd/start": {"controller", "homeassistant"},
    "blackbox/@all/cmd/stop": {"van7", "controller", "homeassistant"},
    "blackbox/@vans/cmd/stop": {"van7", "controller", "homeassistant"},
    "blackbox/@others/cmd/stop": {"controller", "homeassistant"},
    "blackbox/van8/status": {"controller", "viewer", "homeassistant"},
    "blackbox/van8/result": {"controller", "homeassistant"},
    "blackbox/van8/cam0/snapshot": {"controller", "homeassistant"},
    "blackbox/@reply/4711": {"controller", "homeassistant"},
    "homeassistant/status": set(ROLES),
}


class Ears:
    """Notes what a session hears and how its messages were taken."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.refusals: dict[int, str | None] = {}
        self.changed = asyncio.Event()

    def received(self, message: Incoming) -> None:
        self.topics.append(message.topic)
        self.changed.set()

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        self.refusals[packet_id] = refusal
        self.changed.set()

    def writable(self) -> None:
        pass

    async def until(self, wanted: Any) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    with ShippedBroker(tmp_path_factory.mktemp("fleet") / "broker", USERS) as broker:
        yield broker


@asynccontextmanager
async def logged_in(broker: ShippedBroker, user: str) -> AsyncIterator[tuple[Session, Ears]]:
    ears = Ears()
    endpoint = Endpoint(
        host="localhost",
        port=broker.port,
        client_id=f"test-{uuid4()}",
        username=user,
        password=broker.password(user),
        tls=Tls(broker.ca),
    )
    session = await Session.connect(endpoint, ears)
    try:
        yield session, ears
    finally:
        session.close()


async def is_taken(session: Session, ears: Ears, topic: str) -> bool:
    packet_id = session.publish(Message(topic, b"x"))
    assert packet_id is not None
    await ears.until(lambda: packet_id in ears.refusals)
    return ears.refusals[packet_id] is None


@pytest.mark.parametrize("user", ROLES)
async def test_a_role_writes_what_it_may_and_nothing_else(broker: ShippedBroker, user: str) -> None:
    async with logged_in(broker, user) as (session, ears):
        taken = {topic for topic in MAY_WRITE if await is_taken(session, ears, topic)}
    assert taken == {topic for topic, users in MAY_WRITE.items() if user in users}


# Who publishes a message that the role may read, behind those that it may not.
SENTINELS = {
    "van7": ("controller", "blackbox/van7/cmd/ping"),
    "controller": ("van7", "blackbox/van7/availability"),
    "viewer": ("van7", "blackbox/van7/availability"),
    "homeassistant": ("van7", "blackbox/van7/availability"),
}


@pytest.mark.parametrize("user", ROLES)
async def test_a_role_hears_what_it_may_and_nothing_else(broker: ShippedBroker, user: str) -> None:
    sender, sentinel = SENTINELS[user]
    async with logged_in(broker, user) as (session, ears):
        await session.subscribe([Subscription("#")])
        for topic in MAY_READ:
            await publish(broker, "van8" if topic.startswith("blackbox/van8/") else "homeassistant", topic)
        # A broker keeps the order for one client: what came before the last message has arrived when that has.
        await publish(broker, sender, sentinel)
        await ears.until(lambda: sentinel in ears.topics)
    assert set(ears.topics) - {sentinel} == {topic for topic, users in MAY_READ.items() if user in users}


async def publish(broker: ShippedBroker, user: str, topic: str) -> None:
    async with logged_in(broker, user) as (session, ears):
        assert await is_taken(session, ears, topic), f"{user} may not publish on {topic}"


async def test_nobody_comes_in_without_a_password_or_under_another_name(broker: ShippedBroker) -> None:
    for user, password in ((None, None), ("van7", "wrong"), ("stranger", broker.password("van7"))):
        endpoint = Endpoint(
            host="localhost",
            port=broker.port,
            client_id="stranger",
            username=user,
            password=password,
            tls=Tls(broker.ca),
        )
        with pytest.raises(BrokerUnavailable) as refused:
            await Session.connect(endpoint, Ears())
        assert refused.value.trouble is Trouble.NOT_AUTHORISED


async def test_a_certificate_of_another_authority_is_not_believed(broker: ShippedBroker, tmp_path: Path) -> None:
    with ShippedBroker(tmp_path / "another", ["van7"]) as other:
        endpoint = Endpoint(host="localhost", port=other.port, client_id="van7", tls=Tls(broker.ca))
        with pytest.raises(BrokerUnavailable) as refused:
            await Session.connect(endpoint, Ears())
    assert refused.value.trouble is Trouble.TLS_UNKNOWN_AUTHORITY


def config_of(broker: ShippedBroker, user: str) -> Config:
    mqtt = {
        "host": "localhost",
        "port": broker.port,
        "tls": True,
        "ca_file": str(broker.ca),
        "username": user,
        "password": broker.password(user),
    }
    return parse({"device": {"id": user, "groups": ["vans"]}, "mqtt": mqtt, "homeassistant": {"enabled": False}})


class EnrolledSimulation(Simulation):
    """Devices that know the password each was enrolled with."""

    def __init__(self, broker: ShippedBroker, crowd: Crowd) -> None:
        super().__init__(config_of(broker, "controller"), crowd)
        self._configs = [
            one.model_copy(update={"mqtt": config_of(broker, one.device.id).mqtt}) for one in self._configs
        ]


async def test_devices_of_this_fleet_obey_a_controller_and_no_viewer(broker: ShippedBroker) -> None:
    simulation = EnrolledSimulation(broker, Crowd(3, groups=("vans",)))
    order = compose("ping", "", order_id="one", by="test", now=Clock().now())
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(simulation.run(), name="simulation")
        async with aclosing(watch(config_of(broker, "viewer"), 0.1)) as looks:
            async for roster in looks:
                if [row.device for row in roster.rows("vans") if row.online] == ["sim-0001", "sim-0002", "sim-0003"]:
                    break
        outcome = await give(config_of(broker, "controller"), order, Target("", "vans"), TIMEOUT_S, lambda _: None)
        assert outcome.succeeded
        assert [answer.device for answer in outcome.finals] == ["sim-0001", "sim-0002", "sim-0003"]
        with pytest.raises(BrokerUnavailable) as refused:
            await give(config_of(broker, "viewer"), order, Target("sim-0001"), TIMEOUT_S, lambda _: None)
        assert refused.value.trouble is Trouble.ACL_PUBLISH
        simulation.stop()
