"""A broker that does as it is told, for what a real one cannot be made to do: refusals by code, silence, lies.

It speaks just enough MQTT to answer CONNECT, SUBSCRIBE and QoS 1 PUBLISH packets with the bytes of its script.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

TIMEOUT_S = 20.0
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """One MQTT packet with its length."""
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def text(value: str) -> bytes:
    """A string with its length, as topics are written."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


@dataclass
class Script:
    """What to answer; None is silence. The defaults are a friendly MQTT 5 broker."""

    connack: bytes | None = packet(CONNACK, b"\x00\x00\x00")
    suback: Callable[[int, int], bytes | None] = field(
        default=lambda packet_id, count: packet(SUBACK, packet_id.to_bytes(2, "big") + b"\x00" + b"\x01" * count)
    )
    puback: Callable[[int], bytes | None] = field(
        default=lambda packet_id: packet(PUBACK, packet_id.to_bytes(2, "big"))
    )
    then: list[bytes] = field(default_factory=list)
    """Sent after the first SUBACK of each connection."""
    version_5: bool = True


@dataclass
class ScriptedBroker:
    """`received` holds each packet's kind and body in the order of arrival; `connections` counts."""

    script: Script
    port: int = 0
    received: list[tuple[int, bytes]] = field(default_factory=list)
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def topics(self) -> list[str]:
        """Topics of the PUBLISH packets received."""
        bodies = [body for kind, body in self.received if kind == PUBLISH]
        return [body[2 : 2 + int.from_bytes(body[:2], "big")].decode() for body in bodies]

    async def until(self, wanted: Callable[[], object]) -> None:
        """Wait until something true is found, looking after each packet and connection."""
        async with asyncio.timeout(TIMEOUT_S):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        self.changed.set()
        subscribed = False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not reader.at_eof():
                kind, flags, body = await _read(reader)
                self.received.append((kind, body))
                self.changed.set()
                answer = self._answer(kind, flags, body)
                if answer is not None:
                    writer.write(answer)
                if kind == SUBSCRIBE and not subscribed:
                    subscribed = True
                    for more in self.script.then:
                        writer.write(more)
        writer.close()
        self.writers.discard(writer)
        self.changed.set()

    def _answer(self, kind: int, flags: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return self.script.connack
        if kind == SUBSCRIBE:
            return self.script.suback(int.from_bytes(body[:2], "big"), self._filters(body))
        if kind == PUBLISH and flags & 0x06:
            topic_end = 2 + int.from_bytes(body[:2], "big")
            return self.script.puback(int.from_bytes(body[topic_end : topic_end + 2], "big"))
        return packet(13, b"") if kind == PINGREQ else None

    def _filters(self, body: bytes) -> int:
        position, count = 3 if self.script.version_5 else 2, 0
        while position < len(body):
            position += 3 + int.from_bytes(body[position : position + 2], "big")
            count += 1
        return count


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return first >> 4, first & 0x0F, await reader.readexactly(length)


@asynccontextmanager
async def scripted_broker(script: Script) -> AsyncIterator[ScriptedBroker]:
    """Serve on a free loopback port."""
    broker = ScriptedBroker(script)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        broker.hang_up()
        await broker.until(lambda: not broker.writers)
