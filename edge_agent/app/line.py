"""A tool's own connection to the broker, beside those of the agents: it listens, gives orders and leaves no trace."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from edge_agent.app.doors import endpoint_of
from edge_agent.config import Config
from edge_agent.mqtt.broker import HOST
from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.messages import Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.topics import TopicTree
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble

ACKNOWLEDGE_S = 10.0
"""How long a broker may take to acknowledge an order."""
QUIET_S = 0.3
"""Brokers that send what they keep in the background are done when nothing of it came for so long."""
SWEEP_S = 20.0
"""The longest that listening to what a broker keeps may take: a thousand devices are 5 MB."""
_LISTENER = re.compile(rf"listener ([0-9]{{1,5}}) {re.escape(HOST)}")


class Line:
    """One connection. `take` gets every message, on the event loop, from the first subscription on."""

    def __init__(self, tree: TopicTree, take: Callable[[Incoming], None]) -> None:
        self.tree = tree
        self.token = secrets.token_hex(8)
        self._take = take
        self._session: Session | None = None
        self._kept = asyncio.Event()
        self._acknowledged: dict[int, str | None] = {}
        self._answered = asyncio.Event()

    @property
    def reply_topic(self) -> str:
        """A response topic of this connection alone. No device can be called like that, because of the `@`."""
        return f"{self.tree.base}/@reply/{self.token}"

    @property
    def ended(self) -> asyncio.Future[BrokerUnavailable]:
        """Resolves when the connection is over, with the reason; never to be cancelled."""
        return self._the_session().ended

    async def open(self, endpoint: Endpoint) -> None:
        """Connect. Raises `BrokerUnavailable`."""
        self._session = await Session.connect(endpoint, self)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    async def listen(self, filters: Sequence[str]) -> dict[str, str]:
        """Subscribe; the filters that the broker refused, with its reasons. Raises `BrokerUnavailable`.

        At QoS 0: a broker drops what exceeds a client's queue at QoS 1, and a fleet's answers come all at once.
        """
        return await self._the_session().subscribe([Subscription(one, qos=0) for one in filters])

    async def sweep(self, filters: Sequence[str]) -> dict[str, str]:
        """`listen`, and then wait until what the broker keeps on these topics has come."""
        refused = await self.listen(filters)
        # The answer to another subscription comes after what is kept for the first, with most brokers.
        await self.listen([f"{self.reply_topic}/end"])
        try:
            async with asyncio.timeout(SWEEP_S):
                while await self._more(QUIET_S):
                    pass
        except TimeoutError:
            pass
        return refused

    async def publish(self, message: Message) -> None:
        """Publish and wait until the broker has taken it. Raises `BrokerUnavailable` when it does not."""
        session = self._the_session()
        packet_id = session.publish(message)
        ended = session.ended
        try:
            async with asyncio.timeout(ACKNOWLEDGE_S):
                while packet_id is not None and packet_id not in self._acknowledged:
                    if ended.done():
                        raise ended.result()
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            raise BrokerUnavailable(Trouble.NO_ANSWER, "the broker does not acknowledge a command") from None
        refusal = None if packet_id is None else self._acknowledged.pop(packet_id)
        if refusal is not None:
            told = f"the broker does not let us publish on {message.topic} ({refusal}); check its access rules"
            raise BrokerUnavailable(Trouble.ACL_PUBLISH, told)

    async def _more(self, patience_s: float) -> bool:
        self._kept.clear()
        try:
            async with asyncio.timeout(patience_s):
                await self._kept.wait()
        except TimeoutError:
            return False
        return True

    def _the_session(self) -> Session:
        if self._session is None:
            raise RuntimeError("the line is not open")
        return self._session

    # ---- the session's calls

    def received(self, message: Incoming) -> None:
        if message.retain:
            self._kept.set()
        self._take(message)

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        self._acknowledged[packet_id] = refusal
        self._answered.set()

    def writable(self) -> None:
        pass


@asynccontextmanager
async def connected(config: Config, take: Callable[[Incoming], None]) -> AsyncIterator[Line]:
    """A line to the broker of this configuration. Raises `BrokerUnavailable`."""
    line = Line(TopicTree(config.mqtt.base_topic), take)
    try:
        await line.open(tool_endpoint(config, line.token))
        yield line
    finally:
        line.close()


def tool_endpoint(config: Config, token: str) -> Endpoint:
    """How a tool greets the configured broker, or the agent's own on this machine, under a client id of its own."""
    host, port = config.mqtt.host, config.mqtt.port
    if host is None:
        host, port = HOST, own_broker_port(config.device.state_dir) or port
    return endpoint_of(config, host, port, f"edge-agent-tool-{token}")


def own_broker_port(state_dir: Path) -> int | None:
    """The port of the agent's own broker, which is another than the preferred one where that was taken."""
    try:
        found = _LISTENER.search((state_dir / "broker" / "mosquitto.conf").read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return int(found[1]) if found else None
