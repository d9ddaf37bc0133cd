"""What the announcer says to a real broker when it starts, leaves, moves, and when Home Assistant comes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.disk import Disk
from edge_agent.app.homeassistant import Announced, Announcer, announced_before, device_of, hears_births, remember
from edge_agent.config import Config, load
from edge_agent.host.clock import Clock
from edge_agent.mqtt.discovery import announced, discovery_document, discovery_topic
from tests.fakes.listener import Heard, Listener
from tests.fakes.mosquitto import Mosquitto
from tests.mqtt.gateways import make_house, running

TOPIC = discovery_topic("homeassistant", "van7")
EARLIER = "homeassistant/sensor/edge_agent_van7/{}/config"


@dataclass(frozen=True, slots=True)
class Agent:
    """As much of an agent as announces itself."""

    config: Config
    announcer: Announcer

    @property
    def document(self) -> dict[str, Any]:
        return discovery_document(device_of(self.config, None))

    def remembers(self) -> Announced | None:
        return announced_before(self.config.device.state_dir)


def configured(directory: Path, *, enabled: bool = True) -> Config:
    return load(
        None,
        {
            "EDGE_AGENT__DEVICE__ID": "van7",
            "EDGE_AGENT__DEVICE__STATE_DIR": str(directory),
            "EDGE_AGENT__HOMEASSISTANT__ENABLED": str(enabled).lower(),
        },
    )


@asynccontextmanager
async def announcing(mosquitto: Mosquitto, config: Config) -> AsyncIterator[Agent]:
    """An agent that has just started."""
    disk = Disk("state", Clock())
    house = make_house(mosquitto.port)
    async with asyncio.TaskGroup() as tasks:
        announcer = Announcer(config, house.gateway, disk, None, tasks)
        await announcer.announce()
        async with running(house):
            yield Agent(config, announcer)
    disk.close()


async def done(name: str) -> None:
    """Wait until a task of the announcer's has ended."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == name))


def cleared(heard: list[Heard]) -> list[Heard]:
    return [one for one in heard if one.topic == TOPIC and one.payload == b""]


async def test_the_first_time_it_is_announced_before_the_agent_says_that_it_is_online(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with Listener(mosquitto.port, "#") as listener:
        async with announcing(mosquitto, configured(tmp_path)) as agent:
            await listener.message("blackbox/van7/availability", "online")
            topics = [one.topic for one in listener.heard]
            assert topics.index(TOPIC) < topics.index("blackbox/van7/availability")
            assert listener.of(TOPIC)[-1].document == agent.document
        assert agent.remembers() == Announced(announced(agent.document))


@pytest.mark.slow
async def test_an_earlier_layout_is_left_and_cleared_before_the_document_comes(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    for key in ("cpu", "voltage"):
        mosquitto.publish(EARLIER.format(key), '{"unique_id": "x"}', retain=True)
    with Listener(mosquitto.port, "homeassistant/#") as listener:
        async with announcing(mosquitto, configured(tmp_path)) as agent:
            heard = await listener.until(
                lambda heard: heard if [one.payload and one.document for one in heard][-1] == agent.document else None
            )
    said = [(one.topic, one.payload and one.document) for one in heard[2:]]  # the first two are what lay there
    earlier = [EARLIER.format("cpu"), EARLIER.format("voltage")]
    assert said[:4] == [(topic, {"migrate_discovery": True}) for topic in earlier] + [(topic, b"") for topic in earlier]
    assert {topic for topic, _ in said[4:]} == {TOPIC}
    assert mosquitto.retained("homeassistant/#").keys() == {TOPIC}
    assert agent.remembers() == Announced(announced(agent.document))


async def test_who_was_announced_before_does_not_look_for_an_earlier_layout(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = configured(tmp_path)
    remember(tmp_path, Announced(announced(discovery_document(device_of(config, None)))))
    mosquitto.publish(EARLIER.format("cpu"), '{"unique_id": "x"}', retain=True)
    with Listener(mosquitto.port, "blackbox/#") as listener:
        async with announcing(mosquitto, config):
            await listener.message("blackbox/van7/availability", "online")
    assert mosquitto.retained("homeassistant/#").keys() == {TOPIC, EARLIER.format("cpu")}


@pytest.mark.slow
async def test_what_is_switched_off_is_taken_away_now_and_once_more_when_home_assistant_comes_up(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = configured(tmp_path, enabled=False)
    known = announced(discovery_document(device_of(config, None)))
    remember(tmp_path, Announced(known))
    assert hears_births(config)
    with Listener(mosquitto.port, TOPIC) as listener:
        async with announcing(mosquitto, config) as agent:
            await listener.until(cleared)
            await done("leave Home Assistant")
            assert agent.remembers() == Announced(gone=known)
            agent.announcer.announced_again()
            heard = await listener.until(lambda heard: heard if len(cleared(heard)) == 2 else None)
    documents = [one.document for one in heard if one.payload]
    assert [document["components"].keys() for document in documents] == [known.keys(), known.keys()]
    assert agent.remembers() == Announced()
    assert not hears_births(config)
    assert mosquitto.retained("homeassistant/#") == {}


@pytest.mark.parametrize("content", ["", "{}", '{"v": 1, "components": 3, "gone": {}}', "\0"])
def test_a_damaged_note_is_none(tmp_path: Path, content: str) -> None:
    remember(tmp_path, Announced({"cpu": "sensor"}, {"voltage": "sensor"}))
    (note,) = tmp_path.iterdir()
    assert announced_before(tmp_path) == Announced({"cpu": "sensor"}, {"voltage": "sensor"})
    note.write_text(content)
    assert announced_before(tmp_path) is None


@pytest.mark.parametrize("enabled", [True, False])
def test_births_matter_where_home_assistant_may_know_the_device(tmp_path: Path, *, enabled: bool) -> None:
    assert hears_births(configured(tmp_path, enabled=enabled)) == enabled
