from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.model import NAME_PATTERN, RESERVED_NAMES
from edge_agent.mqtt.topics import (
    CameraKind,
    CameraTopic,
    CommandTopic,
    DeviceKind,
    DeviceTopic,
    GroupTopic,
    Topic,
    TopicTree,
)

names = st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: name not in RESERVED_NAMES)
levels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/+#\0"), max_size=12)
bases = st.lists(levels.filter(bool), min_size=1, max_size=3).map("/".join)
topics = st.one_of(
    st.builds(CommandTopic, names, levels),
    st.builds(GroupTopic, st.one_of(names, st.just("all")), levels),
    st.builds(DeviceTopic, names, st.sampled_from(DeviceKind)),
    st.builds(CameraTopic, names, names, st.sampled_from(CameraKind)),
)
fragments = st.lists(
    st.one_of(
        names,
        levels,
        st.sampled_from(["", "cmd", "@all", "@van", "@", "all", "status", "availability", "snapshot", "start", "+"]),
    ),
    max_size=5,
).map("/".join)


@given(bases, topics)
def test_every_topic_that_is_built_is_parsed_back_to_itself(base: str, topic: Topic) -> None:
    tree = TopicTree(base)
    assert tree.parse(tree.build(topic)) == topic


@given(bases, st.one_of(fragments, st.text(max_size=40)))
def test_whatever_is_parsed_is_built_back_to_itself(base: str, rest: str) -> None:
    tree = TopicTree(base)
    text = f"{base}/{rest}"
    parsed = tree.parse(text)
    assert parsed is None or tree.build(parsed) == text


@given(bases, topics, topics)
def test_two_topics_never_share_a_text(base: str, one: Topic, other: Topic) -> None:
    tree = TopicTree(base)
    assert (tree.build(one) == tree.build(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("blackbox/van7/cmd/start", CommandTopic("van7", "start")),
        ("blackbox/van7/cmd/", CommandTopic("van7", "")),
        ("blackbox/@north/cmd/stop", GroupTopic("north", "stop")),
        ("blackbox/@all/cmd/ping", GroupTopic("all", "ping")),
        ("blackbox/van7/result", DeviceTopic("van7", DeviceKind.RESULT)),
        ("blackbox/van7/availability", DeviceTopic("van7", DeviceKind.AVAILABILITY)),
        ("blackbox/van7/info", DeviceTopic("van7", DeviceKind.INFO)),
        ("blackbox/van7/status", DeviceTopic("van7", DeviceKind.STATUS)),
        ("blackbox/van7/telemetry", DeviceTopic("van7", DeviceKind.TELEMETRY)),
        ("blackbox/van7/event", DeviceTopic("van7", DeviceKind.EVENT)),
        ("blackbox/van7/cam0/snapshot", CameraTopic("van7", "cam0", CameraKind.SNAPSHOT)),
        ("blackbox/van7/cam1/preview", CameraTopic("van7", "cam1", CameraKind.PREVIEW)),
        ("blackbox/van7/cam0/availability", CameraTopic("van7", "cam0", CameraKind.AVAILABILITY)),
    ],
)
def test_the_contract_s_topics_are_read_and_written_as_they_stand_there(text: str, topic: Topic) -> None:
    assert TopicTree("blackbox").parse(text) == topic
    assert TopicTree("blackbox").build(topic) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "blackbox",
        "blackbox/van7",
        "blackbox/Van7/status",
        "blackbox/all/status",
        "blackbox/cmd/cmd/start",
        "blackbox/van7/cmd/start/now",
        "blackbox/@/cmd/start",
        "blackbox/@cmd/cmd/start",
        "blackbox/van7/cam0/status",
        "blackbox/van7/all/snapshot",
        "other/van7/status",
        "blackboxes/van7/status",
    ],
)
def test_a_topic_outside_the_contract_is_none(text: str) -> None:
    assert TopicTree("blackbox").parse(text) is None


@pytest.mark.parametrize("base", ["", "/blackbox", "a//b", "black+box", "#", "a/#"])
def test_a_base_that_mosquitto_would_refuse_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match="base topic"):
        TopicTree(base)


def test_a_name_outside_the_pattern_never_reaches_a_topic() -> None:
    with pytest.raises(ValueError, match="device"):
        CommandTopic("../etc", "start")
    with pytest.raises(ValueError, match="verb"):
        CommandTopic("van7", "start/#")
    with pytest.raises(ValueError, match="camera"):
        CameraTopic("van7", "cmd", CameraKind.SNAPSHOT)


def test_filters_cover_the_commands_of_one_device_or_group() -> None:
    tree = TopicTree("site/blackbox")
    assert tree.device_commands("van7") == "site/blackbox/van7/cmd/+"
    assert tree.group_commands("all") == "site/blackbox/@all/cmd/+"
    assert tree.every_device(DeviceKind.STATUS) == "site/blackbox/+/status"
