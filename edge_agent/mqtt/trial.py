"""One try at a broker, for people who ask whether their settings are right: nothing is published, nothing stays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.intake import Intake
from edge_agent.mqtt.messages import Incoming
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.topics import TopicTree
from edge_agent.mqtt.trouble import BrokerUnavailable, Trouble, subscription_trouble


class _Deaf:
    def received(self, message: Incoming) -> None:
        pass

    def acknowledged(self, packet_id: int, refusal: str | None) -> None:
        pass

    def writable(self) -> None:
        pass


async def try_broker(endpoint: Endpoint, base_topic: str, device: str, groups: Collection[str]) -> str | None:
    """What is wrong with the broker, as a sentence that says what to do; None if commands would arrive.

    Takes at most about 20 s. Connects under a client id of its own and without a last will, so that a running agent
    does not notice. Raises nothing.
    """
    stranger = replace(endpoint, client_id=f"{endpoint.client_id}-check", will=None)
    intake = Intake(TopicTree(base_topic), device, groups, as_published=endpoint.version_5)
    try:
        session = await Session.connect(stranger, _Deaf())
        try:
            refused = await session.subscribe(intake.subscriptions)
        finally:
            session.close()
    except BrokerUnavailable as error:
        return f"{error.trouble}: {error}"
    return f"{Trouble.ACL_SUBSCRIBE}: {subscription_trouble(refused)}" if refused else None
