from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.mqtt.client import KEPT_BYTES_MAX
from edge_agent.mqtt.endpoint import Endpoint, ProtocolVersion, Tls
from edge_agent.mqtt.messages import Incoming, Message, MessageTooLarge, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble
from tests.fakes.listener import TIMEOUT_S, Listener
from tests.fakes.mosquitto import Certificates, MakeMosquitto, Mosquitto, ServerTls, free_port
from tests.fakes.scripted_broker import CONNACK, DISCONNECT, PUBLISH, SUBACK, Script, packet, scripted_broker, text
from tests.mqtt.gateways import BOTH_VERSIONS, endpoint


class Ear:
    """Notes what a session tells."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.answers: dict[int, str | None] = {}
        self._changed = asyncio.Event()

    def received(self, message: Incoming) -> None:
        self.messages.append(message)
        self._changed.set()

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        self.answers[packet_id] = refusal
        self._changed.set()

    def writable(self) -> None:
        self._changed.set()

    async def until(self, wanted: Callable[[], Any]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def connected(to: Endpoint, ear: Ear | None = None) -> AsyncIterator[Session]:
    session = await Session.connect(to, ear or Ear())
    try:
        yield session
    finally:
        session.close()


async def refusal(to: Endpoint) -> BrokerUnavailable:
    """Why connecting fails."""
    with pytest.raises(BrokerUnavailable) as caught:
        await Session.connect(to, Ear())
    return caught.value


# ---- reaching the broker


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    assert (await refusal(endpoint(free_port()))).trouble is Trouble.UNREACHABLE


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    failure = await refusal(endpoint(1883, host="no-such-host.invalid"))
    assert failure.trouble is Trouble.UNREACHABLE
    assert "mqtt.host" in str(failure)


async def test_a_peer_that_accepts_and_never_answers_is_given_up() -> None:
    async with scripted_broker(Script(connack=None)) as broker:
        failure = await refusal(endpoint(broker.port, connect_timeout_s=0.5))
        assert failure.trouble is Trouble.NO_ANSWER


async def test_a_peer_that_never_answers_a_tls_handshake_is_given_up() -> None:
    async with scripted_broker(Script(connack=None)) as broker:
        failure = await refusal(endpoint(broker.port, connect_timeout_s=0.5, tls=Tls()))
        assert failure.trouble in (Trouble.NO_ANSWER, Trouble.UNREACHABLE)


async def test_the_loop_is_free_while_a_peer_keeps_the_connecting_waiting() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        loop = asyncio.get_running_loop()
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_later(0.01, turn)

        turn()
        failure = await refusal(endpoint(silent.getsockname()[1], connect_timeout_s=0.5, tls=Tls()))
        assert failure.trouble in (Trouble.NO_ANSWER, Trouble.UNREACHABLE)
        assert turns > 10


async def test_a_peer_that_speaks_no_mqtt_is_named() -> None:
    async with scripted_broker(Script(connack=b"\x00\x00no MQTT")) as broker:
        assert (await refusal(endpoint(broker.port))).trouble is Trouble.REFUSED


async def test_connecting_may_be_cancelled_at_any_time() -> None:
    async with scripted_broker(Script(connack=None)) as broker:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await Session.connect(endpoint(broker.port), Ear())


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (0x84, Trouble.PROTOCOL),
        (0x86, Trouble.CREDENTIALS),
        (0x87, Trouble.NOT_AUTHORISED),
        (0x88, Trouble.REFUSED),
        (0x97, Trouble.REFUSED),
    ],
)
async def test_each_refusal_of_an_mqtt_5_broker_has_its_trouble(code: int, trouble: Trouble) -> None:
    async with scripted_broker(Script(connack=packet(CONNACK, bytes([0, code, 0])))) as broker:
        assert (await refusal(endpoint(broker.port))).trouble is trouble


@pytest.mark.parametrize(
    ("code", "trouble"), [(3, Trouble.REFUSED), (4, Trouble.CREDENTIALS), (5, Trouble.NOT_AUTHORISED)]
)
async def test_each_refusal_of_a_3_1_1_broker_has_its_trouble(code: int, trouble: Trouble) -> None:
    async with scripted_broker(Script(connack=packet(CONNACK, bytes([0, code])))) as broker:
        assert (await refusal(endpoint(broker.port, protocol=ProtocolVersion.V311))).trouble is trouble


async def test_a_broker_without_mqtt_5_is_told_from_others() -> None:
    async with scripted_broker(Script(connack=packet(CONNACK, b"\x00\x01"))) as broker:
        failure = await refusal(endpoint(broker.port))
        assert failure.trouble is Trouble.PROTOCOL
        assert 'mqtt.protocol = "3.1.1"' in str(failure)


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_wrong_password_is_refused_and_the_right_one_is_not(
    make_mosquitto: MakeMosquitto, protocol: ProtocolVersion
) -> None:
    mosquitto = make_mosquitto(users={"van7": "secret"})
    for name, password in (("van7", "wrong"), ("nobody", "secret"), (None, None)):
        failure = await refusal(endpoint(mosquitto.port, protocol=protocol, username=name, password=password))
        assert failure.trouble in (Trouble.CREDENTIALS, Trouble.NOT_AUTHORISED)
        assert "secret" not in str(failure)
    async with connected(endpoint(mosquitto.port, protocol=protocol, username="van7", password="secret")):
        pass


# ---- TLS


def tls_endpoint(mosquitto: Mosquitto, **files: Path) -> Endpoint:
    return endpoint(mosquitto.port, host="localhost", tls=Tls(**files))


async def test_a_broker_with_a_good_certificate_is_trusted(
    make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    mosquitto = make_mosquitto(tls=ServerTls(certificates.server))
    for host in ("localhost", "127.0.0.1"):
        async with connected(endpoint(mosquitto.port, host=host, tls=Tls(ca_file=certificates.ca))) as session:
            assert await session.subscribe([Subscription("blackbox/#")]) == {}


async def test_each_certificate_trouble_is_told_apart(
    make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    good, wrong, expired = (
        make_mosquitto(tls=ServerTls(pair))
        for pair in (certificates.server, certificates.wrong_host, certificates.expired)
    )
    troubles = [
        (await refusal(tls_endpoint(mosquitto, ca_file=ca))).trouble
        for mosquitto, ca in (
            (good, certificates.other_ca),
            (wrong, certificates.ca),
            (expired, certificates.ca),
        )
    ]
    assert troubles == [Trouble.TLS_UNKNOWN_AUTHORITY, Trouble.TLS_WRONG_HOST, Trouble.TLS_EXPIRED]


async def test_a_self_made_certificate_is_not_trusted_by_default(
    make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    mosquitto = make_mosquitto(tls=ServerTls(certificates.server))
    assert (await refusal(tls_endpoint(mosquitto))).trouble is Trouble.TLS_UNKNOWN_AUTHORITY


async def test_a_client_certificate_opens_the_door_that_is_closed_without(
    make_mosquitto: MakeMosquitto, certificates: Certificates
) -> None:
    mosquitto = make_mosquitto(tls=ServerTls(certificates.server, client_ca=certificates.ca))
    failure = await refusal(tls_endpoint(mosquitto, ca_file=certificates.ca))
    assert failure.trouble is Trouble.TLS_CLIENT_REFUSED
    client = certificates.client
    async with connected(tls_endpoint(mosquitto, ca_file=certificates.ca, cert_file=client.cert, key_file=client.key)):
        pass


async def test_tls_to_a_plain_port_is_named(mosquitto: Mosquitto, certificates: Certificates) -> None:
    failure = await refusal(endpoint(mosquitto.port, tls=Tls(ca_file=certificates.ca), connect_timeout_s=3))
    assert failure.trouble is Trouble.TLS_FAILED


async def test_a_missing_certificate_file_is_named(mosquitto: Mosquitto, tmp_path: Path) -> None:
    failure = await refusal(endpoint(mosquitto.port, tls=Tls(ca_file=tmp_path / "nothing.pem")))
    assert failure.trouble is Trouble.TLS_FILES
    assert "nothing.pem" in str(failure)


async def test_many_messages_in_one_tls_record_all_arrive(
    make_mosquitto: MakeMosquitto, certificates: Certificates, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server.cert, certificates.server.key)
    burst = b"".join(packet(PUBLISH, text(f"t/{number}") + b"\x00" + b"x") for number in range(50))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(packet(CONNACK, b"\x00\x00\x00") + burst)
        await reader.read()
        writer.close()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    ear = Ear()
    port = server.sockets[0].getsockname()[1]
    async with connected(endpoint(port, tls=Tls(ca_file=certificates.ca)), ear):
        await ear.until(lambda: len(ear.messages) == 50)
        assert [message.topic for message in ear.messages] == [f"t/{number}" for number in range(50)]
    await done.wait()
    server.close()


# ---- an open session


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_published_message_is_acknowledged(mosquitto: Mosquitto, protocol: ProtocolVersion) -> None:
    ear = Ear()
    with Listener(mosquitto.port, "t") as listener:
        async with connected(endpoint(mosquitto.port, protocol=protocol), ear) as session:
            packet_id = session.publish(Message("t", b"1", expiry_s=60, properties=(("k", "v"),)))
            assert packet_id is not None
            await ear.until(lambda: packet_id in ear.answers)
            assert ear.answers == {packet_id: None}
            assert session.publish(Message("t", b"2", qos=0)) is None
            await listener.until(lambda heard: [one.text for one in heard] == ["1", "2"])
    assert ("UserProperty" in listener.heard[0].properties) == (protocol is ProtocolVersion.V5)


async def test_own_messages_do_not_come_back(mosquitto: Mosquitto) -> None:
    ear = Ear()
    async with connected(endpoint(mosquitto.port), ear) as session:
        await session.subscribe([Subscription("t")])
        session.publish(Message("t", b"own"))
        mosquitto.publish("t", "foreign")
        await ear.until(lambda: ear.messages)
        assert [message.payload for message in ear.messages] == [b"foreign"]


async def test_the_retain_flag_of_live_messages_stays_where_asked(mosquitto: Mosquitto) -> None:
    ear = Ear()
    async with connected(endpoint(mosquitto.port), ear) as session:
        await session.subscribe([Subscription("a", as_published=True), Subscription("b")])
        mosquitto.publish("a", "1", retain=True)
        mosquitto.publish("b", "1", retain=True)
        await ear.until(lambda: len(ear.messages) == 2)
        assert {message.topic: message.retain for message in ear.messages} == {"a": True, "b": False}


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_subscription_that_is_refused_is_named(protocol: ProtocolVersion) -> None:
    version_5 = protocol is ProtocolVersion.V5
    script = Script(version_5=version_5)
    if version_5:
        script.suback = lambda packet_id, _: packet(SUBACK, packet_id.to_bytes(2, "big") + b"\x00\x01\x87")
    else:
        script.connack = packet(CONNACK, b"\x00\x00")
        script.suback = lambda packet_id, _: packet(SUBACK, packet_id.to_bytes(2, "big") + b"\x01\x80")
    async with scripted_broker(script) as broker, connected(endpoint(broker.port, protocol=protocol)) as session:
        refused = await session.subscribe([Subscription("mine"), Subscription("theirs")])
        assert list(refused) == ["theirs"]
        assert refused["theirs"] == ("Not authorized" if version_5 else "Unspecified error")


async def test_a_message_that_the_access_rules_forbid_is_answered_by_its_reason(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(users={"van7": "s"}, acl="user van7\ntopic readwrite blackbox/van7/#\n")
    ear = Ear()
    async with connected(endpoint(mosquitto.port, username="van7", password="s"), ear) as session:
        mine = session.publish(Message("blackbox/van7/status", b"1"))
        theirs = session.publish(Message("blackbox/van8/status", b"1"))
        await ear.until(lambda: len(ear.answers) == 2)
        assert ear.answers == {mine: None, theirs: "Not authorized"}


async def test_a_message_over_the_broker_s_limit_is_not_sent(mosquitto: Mosquitto) -> None:
    limit = packet(CONNACK, b"\x00\x00\x05\x27\x00\x00\x04\x00")  # Maximum Packet Size 1024
    async with scripted_broker(Script(connack=limit)) as broker, connected(endpoint(broker.port)) as session:
        session.publish(Message("t", bytes(900)))
        with pytest.raises(MessageTooLarge):
            session.publish(Message("t", bytes(1024)))
        assert not session.ended.done()


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_a_huge_message_costs_no_memory_and_no_connection(
    mosquitto: Mosquitto, protocol: ProtocolVersion
) -> None:
    ear = Ear()
    async with connected(endpoint(mosquitto.port, protocol=protocol), ear) as session:
        await session.subscribe([Subscription("t")])
        mosquitto.publish("t", bytes(20_000_000))
        mosquitto.publish("t", "small")
        await ear.until(lambda: ear.messages and ear.messages[-1].payload == b"small")
        assert all(len(message.payload) <= KEPT_BYTES_MAX for message in ear.messages)
        assert len(ear.messages) == (1 if protocol is ProtocolVersion.V5 else 2)
        assert not session.ended.done()


@pytest.mark.parametrize(
    ("body", "trouble"), [(b"\x8e", Trouble.CLIENT_ID_TAKEN), (b"\x8b", Trouble.LOST), (b"", Trouble.LOST)]
)
async def test_the_broker_s_reason_for_ending_is_kept(body: bytes, trouble: Trouble) -> None:
    script = Script(then=[packet(DISCONNECT, body)])
    async with scripted_broker(script) as broker, connected(endpoint(broker.port)) as session:
        await session.subscribe([Subscription("t")])
        async with asyncio.timeout(TIMEOUT_S):
            assert (await session.ended).trouble is trouble


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\x00",
        b"\xf0\xff\xff\xff\xff\xff",
        packet(PUBLISH, b"\xff\xff"),
        packet(PUBLISH, text("t") + b"\x02\xff\xff"),
        packet(SUBACK, b""),
        packet(CONNACK, b""),
    ],
)
async def test_rubbish_from_the_broker_ends_the_session_and_nothing_else(rubbish: bytes) -> None:
    async with scripted_broker(Script(then=[rubbish])) as broker, connected(endpoint(broker.port)) as session:
        await session.subscribe([Subscription("t")])
        async with asyncio.timeout(TIMEOUT_S):
            assert (await session.ended).trouble is Trouble.LOST


async def test_a_broker_that_falls_silent_is_noticed(mosquitto: Mosquitto) -> None:
    async with connected(endpoint(mosquitto.port, keepalive_s=1)) as session:
        mosquitto.pause()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                failure = await session.ended
        finally:
            mosquitto.resume()
        assert failure.trouble is Trouble.LOST
        assert "silent" in str(failure)


@pytest.mark.parametrize("protocol", BOTH_VERSIONS)
async def test_the_last_will_comes_only_without_a_goodbye(mosquitto: Mosquitto, protocol: ProtocolVersion) -> None:
    with Listener(mosquitto.port, "will/+") as listener:
        for name in ("polite", "dead"):
            will = Message(f"will/{name}", b"offline", retain=True)
            session = await Session.connect(
                endpoint(mosquitto.port, protocol=protocol, client_id=name, will=will), Ear()
            )
            if name == "polite":
                session.close()
            else:
                session.drop()
        await listener.message("will/dead", "offline")
        assert listener.of("will/polite") == []


async def test_commands_sent_during_a_short_absence_come_after_it(mosquitto: Mosquitto) -> None:
    first = await Session.connect(endpoint(mosquitto.port), Ear())
    await first.subscribe([Subscription("cmd")])
    first.drop()
    mosquitto.publish("cmd", "1")
    mosquitto.publish("cmd", "2")
    ear = Ear()
    async with connected(endpoint(mosquitto.port), ear):
        await ear.until(lambda: len(ear.messages) == 2)
        assert [message.payload for message in ear.messages] == [b"1", b"2"]
