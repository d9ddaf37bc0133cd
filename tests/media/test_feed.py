from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from edge_agent.media import feed as feed_module
from edge_agent.media.feed import TapFeed


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Sender:
    """A recorder's socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._socket.send(datagram)


MakeSender = Callable[[], Sender]


@pytest.fixture
def make_sender(port: int) -> Iterator[MakeSender]:
    with ExitStack() as stack:

        def make() -> Sender:
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.connect(("127.0.0.1", port))
            return Sender(made)

        yield make


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        yield made


@pytest.fixture
def feed(port: int, selector: selectors.BaseSelector) -> Iterator[TapFeed]:
    made = TapFeed(port, selector)
    yield made
    made.close()


def test_datagrams_that_wait_are_read_together_in_order(feed: TapFeed, make_sender: MakeSender) -> None:
    make_sender().send(b"a" * 1316, b"b" * 1316, b"c" * 188)
    assert feed.begin()
    assert feed.read(65536) == b"a" * 1316
    assert feed.read(65536) == b"b" * 1316 + b"c" * 188


def test_a_read_is_never_longer_than_asked_for(feed: TapFeed, make_sender: MakeSender) -> None:
    sent = [bytes([number]) * 1316 for number in range(10)]
    make_sender().send(*sent)
    feed.begin()
    received = [feed.read(4096) for _ in range(6)]
    assert max(map(len, received)) <= 4096
    assert b"".join(received) == b"".join(sent)


def test_another_sender_begins_another_stream(
    feed: TapFeed, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "HANDOVER_S", 0.0)
    first, second = make_sender(), make_sender()
    first.send(b"first")
    feed.begin()
    assert feed.read(65536) == b"first"
    second.send(b"second", b"more")
    assert feed.read(65536) == b""
    assert feed.begin()
    assert feed.read(65536) == b"second"
    assert feed.read(65536) == b"more"


def test_a_stray_datagram_does_not_end_a_running_stream(
    feed: TapFeed, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "HANDOVER_S", 60.0)
    recorder = make_sender()
    recorder.send(b"one")
    feed.begin()
    assert feed.read(65536) == b"one"
    make_sender().send(b"stray")
    recorder.send(b"two")
    assert feed.read(65536) == b"two"


def test_silence_ends_the_stream(feed: TapFeed, make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "SILENCE_S", 0.05)
    sender = make_sender()
    sender.send(b"one")
    feed.begin()
    assert feed.read(65536) == b"one"
    assert feed.read(65536) == b""
    sender.send(b"two")
    assert feed.begin()
    assert feed.read(65536) == b"two"


def test_what_else_is_ready_is_served_while_waiting_and_may_end_the_feed(
    feed: TapFeed, selector: selectors.BaseSelector
) -> None:
    reader, writer = os.pipe()
    selector.register(reader, selectors.EVENT_READ, feed.end)
    os.write(writer, b"x")
    assert not feed.begin()
    assert feed.read(65536) == b""
    os.close(reader)
    os.close(writer)


def test_each_byte_has_the_time_at_which_it_came(feed: TapFeed, make_sender: MakeSender) -> None:
    sender = make_sender()
    before_us = time.time_ns() // 1000
    sender.send(b"a" * 100)
    feed.begin()
    feed.read(65536)
    between_us = time.time_ns() // 1000
    sender.send(b"b" * 100)
    feed.read(65536)
    assert before_us <= feed.arrived_us(0) == feed.arrived_us(99) <= between_us
    assert between_us <= feed.arrived_us(100) == feed.arrived_us(199) <= time.time_ns() // 1000
    assert feed.arrived_us(None) >= feed.arrived_us(199)


def test_two_cannot_listen_at_one_port(feed: TapFeed, selector: selectors.BaseSelector, port: int) -> None:
    del feed
    with pytest.raises(OSError, match="in use"):
        TapFeed(port, selector)
