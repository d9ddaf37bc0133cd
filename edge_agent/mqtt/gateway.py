"""The house's door to MQTT: commands come in through it, documents and pictures go out.

Joins topics, session and outbox. Documents are JSON-ready dicts; every call returns at once, with or without a broker.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.core.model import Now
from edge_agent.mqtt.answers import Answers
from edge_agent.mqtt.claim import OFFLINE, ONLINE, Claim
from edge_agent.mqtt.doubts import Doubts
from edge_agent.mqtt.endpoint import Endpoint
from edge_agent.mqtt.greeting import Greeting, Rank
from edge_agent.mqtt.intake import FLOOD_ANSWER_S, Intake, RawCommand
from edge_agent.mqtt.lookout import Lookout
from edge_agent.mqtt.messages import JPEG, JSON, Incoming, Message, Subscription
from edge_agent.mqtt.session import Session
from edge_agent.mqtt.topics import (
    CameraKind,
    CameraTopic,
    DeviceKind,
    DeviceTopic,
    Topic,
    TopicTree,
)
from edge_agent.mqtt.trouble import Trouble, subscription_trouble
from edge_agent.mqtt.uplink import Epoch, TellProblem, Uplink
from edge_agent.wire import encode

log = logging.getLogger(__name__)

PREVIEWS_AGAIN_S = 3.0
"""Home Assistant listens to a new camera's topic only some time after it has read of it, and previews are not kept."""
_TELEMETRY_INTERVALS_KEPT = 3
_HELD_MAX = 100
"""Commands that an MQTT 5 broker had kept for us, held until the device id is claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What the gateway is told once.

    The endpoint comes without a last will, and its client id gets a part of the boot id. `boot_id` is what the info
    document says under this key; it has to differ between two starts of an agent. `birth_topic` is where Home Assistant
    says `online`, None for nowhere.
    """

    endpoint: Endpoint
    base_topic: str
    device: str
    boot_id: str
    groups: tuple[str, ...] = ()
    birth_topic: str | None = None
    telemetry_interval_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Whom the gateway calls, always on the event loop.

    `submit` takes a command and returns the id under which its answers will come; it may answer at once. `tell` notes
    a problem by its code, or (with None) that it is over. `on_birth` is called when Home Assistant came up.
    """

    submit: Callable[[RawCommand], str | None]
    tell: TellProblem
    on_birth: Callable[[], None]
    now: Callable[[], Now]


class Gateway:
    """Make it on the event loop, give it its documents, then await `run` in a task; end it by `stop`.

    It keeps the newest of all state, so that each connection begins with everything the broker has to know. What was
    handed over before `run` is part of the first greeting.
    """

    def __init__(self, settings: GatewaySettings, callbacks: Callbacks) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._tree = TopicTree(settings.base_topic)
        self._greeting = Greeting()
        self._claim = Claim(self._tree, settings.device, settings.boot_id)
        version_5 = settings.endpoint.version_5
        self._intake = Intake(self._tree, settings.device, settings.groups, as_published=version_5)
        result = self._tree.build(DeviceTopic(settings.device, DeviceKind.RESULT))
        self._doubts = None if version_5 else Doubts(self._intake, result, self._decided)
        self._held: list[Incoming] | None = None
        self._look: Lookout | None = None
        self._flood_timer: asyncio.TimerHandle | None = None
        self._preview_timer: asyncio.TimerHandle | None = None
        self._retained_told: tuple[str, ...] = ()
        self._leaving = False
        availability = self._tree.build(DeviceTopic(settings.device, DeviceKind.AVAILABILITY))
        self._online = Message(availability, ONLINE, retain=True)
        self._offline = Message(availability, OFFLINE, retain=True)
        self._greeting.put(Rank.AVAILABILITY, self._online)
        # Brokers let a client that comes with a known id throw the other one out. No two agents share theirs.
        own = f"{settings.endpoint.client_id}-{settings.boot_id[:8]}"
        self._uplink = Uplink(
            replace(settings.endpoint, client_id=own, will=self._offline),
            Epoch(self._open, self._received, self._greeted, lambda: [self._offline]),
            callbacks.tell,
            spare_client_id=f"{own}-b",
        )
        self._answers = Answers(self._tree, settings.device, callbacks.submit, self._uplink.send_fact)

    @property
    def connected(self) -> bool:
        """Whether a broker hears what is published now."""
        return self._uplink.connected

    @property
    def untended_s(self) -> float:
        """For how long nobody has looked after the connection, in seconds; 0 while there is none."""
        return self._uplink.untended_s

    async def run(self) -> None:
        """Keep connected until `stop`. Broker troubles never end it; they are told as problems."""
        await self._uplink.run()

    async def stop(self) -> None:
        """Send what is left, say `offline` and end `run`, all within about 3 s."""
        self._leaving = True
        self._answers.close()
        for timer in (self._flood_timer, self._preview_timer):
            if timer is not None:
                timer.cancel()
        if self._doubts is not None:
            self._doubts.close()
        await self._uplink.stop()

    # ---- documents

    def info(self, document: Mapping[str, Any]) -> None:
        self._document(Rank.INFO, DeviceKind.INFO, document)

    def status(self, document: Mapping[str, Any]) -> None:
        self._document(Rank.STATUS, DeviceKind.STATUS, document)

    def telemetry(self, document: Mapping[str, Any]) -> None:
        expiry_s = max(1, round(_TELEMETRY_INTERVALS_KEPT * self._settings.telemetry_interval_s))
        self._document(Rank.TELEMETRY, DeviceKind.TELEMETRY, document, qos=0, expiry_s=expiry_s)

    def event(self, document: Mapping[str, Any]) -> None:
        """Publish one thing that happened, late if need be."""
        topic = self._tree.build(DeviceTopic(self._settings.device, DeviceKind.EVENT))
        self._uplink.send_fact(Message(topic, encode(document), content_type=JSON))

    def result(
        self,
        document: Mapping[str, Any],
        *,
        reply_to: str | None = None,
        correlation: bytes | None = None,
        taken: Callable[[], None] | None = None,
    ) -> None:
        """Publish an answer, also to the command's response topic. Answers to a group command come spread.

        `taken` is called once the broker has it.
        """
        self._answers.send(document, reply_to, correlation, taken)

    def camera_availability(self, camera: str, online: bool) -> None:
        """Say whether a camera itself is there."""
        payload = ONLINE if online else OFFLINE
        self._state(Rank.CAMERA, CameraTopic(self._settings.device, camera, CameraKind.AVAILABILITY), payload)

    def preview(self, camera: str, jpeg: bytes) -> None:
        """Publish a small picture; the newest of each camera also follows discovery on every connect."""
        topic = CameraTopic(self._settings.device, camera, CameraKind.PREVIEW)
        self._state(Rank.PREVIEW, topic, jpeg, qos=0, retain=False, content_type=JPEG)

    def snapshot(self, camera: str, jpeg: bytes) -> None:
        """Publish the last snapshot of a camera."""
        topic = CameraTopic(self._settings.device, camera, CameraKind.SNAPSHOT)
        self._state(Rank.SNAPSHOT, topic, jpeg, qos=0, content_type=JPEG)

    def discovery(self, topic: str, payload: Mapping[str, Any] | None, *, retain: bool = True) -> None:
        """Publish a discovery document on a topic of Home Assistant's; None removes it there.

        With `retain` off it is said once and neither kept nor said again.
        """
        data = b"" if payload is None else encode(payload)
        message = Message(topic, data, retain=retain, content_type=None if payload is None else JSON)
        if retain:
            self._put(Rank.DISCOVERY, message)
        else:
            self._uplink.send_fact(message)

    def look_for(self, topic_filter: str, found: Callable[[tuple[str, ...]], None]) -> None:
        """Look once, at the next connection, which retained messages there are (`+` stands for any level).

        `found` gets their topics ahead of the greeting; what it hands over is part of that.
        """
        self._look = Lookout(topic_filter, found)

    def announce(self) -> None:
        """Publish everything again, in the order of a greeting, but for snapshots.

        They are large, the broker has them since the greeting, and Home Assistant takes each for a new one.
        """
        for message in self._greeting.messages(without=Rank.SNAPSHOT):
            self._uplink.send_state(message)
        self._show_again()

    def _document(self, rank: Rank, kind: DeviceKind, document: Mapping[str, Any], **options: Any) -> None:
        topic = DeviceTopic(self._settings.device, kind)
        self._state(rank, topic, encode(document), content_type=JSON, **options)

    def _state(self, rank: Rank, topic: Topic, payload: bytes, **options: Any) -> None:
        self._put(rank, Message(self._tree.build(topic), payload, **{"retain": True, **options}))

    def _put(self, rank: Rank, message: Message) -> None:
        self._greeting.put(rank, message)
        self._uplink.send_state(message)

    # ---- the uplink's calls

    async def _open(self, session: Session) -> Sequence[Message]:
        self._held = []
        try:
            await self._claim.stake(session)
            self._intake.begin()
            subscriptions = list(self._intake.subscriptions)
            if self._settings.birth_topic is not None:
                subscriptions.append(Subscription(self._settings.birth_topic))
            if self._look is not None and (looking := self._look.subscriptions()):
                # Who may not look finds nothing. What there is comes before the answer to the next subscription.
                await session.subscribe(looking)
            self._tell_refused(await session.subscribe(subscriptions))
            if self._doubts is not None:
                self._doubts.ask(session)
        finally:
            held, self._held = self._held, None
        for message in held:
            self._command(message)
        look, self._look = self._look, None
        if look is not None:
            look.tell()
        return self._greeting.messages()

    def _greeted(self) -> None:
        self._show_again()
        self._intake.greeted()
        self._tell_retained()

    def _received(self, message: Incoming) -> None:
        if self._claim.received(message, stand_up=self._stand_up, step_back=self._step_back):
            return
        if self._look is not None and self._look.takes(message):
            return
        if message.topic == self._settings.birth_topic:
            # A retained one is as old as its broker wants; a greeting is about to go out then anyway.
            if message.payload == ONLINE and not message.retain:
                self._callbacks.on_birth()
        elif self._held is None:
            self._command(message)
        elif len(self._held) < _HELD_MAX:
            self._held.append(message)

    def _command(self, message: Incoming) -> None:
        raw = self._intake.judge(message, self._callbacks.now())
        if raw is not None and (self._doubts is None or not self._doubts.takes(message, raw)):
            self._answers.submit(raw)
        elif raw is None and self._intake.flooded and self._flood_timer is None:
            self._flood_timer = self._loop.call_later(FLOOD_ANSWER_S, self._answer_flood)
        self._tell_retained()

    def _decided(self, raw: RawCommand) -> None:
        """A live command of which it is known now whether it is retained."""
        self._answers.submit(raw)
        self._tell_retained()

    def _answer_flood(self) -> None:
        self._flood_timer = None
        raw = self._intake.flood_answer(self._callbacks.now())
        if raw is not None:
            log.warning("commands refused: %s", raw.refusal.message if raw.refusal else "")
            self._answers.submit(raw)

    def _show_again(self) -> None:
        if self._preview_timer is not None:
            self._preview_timer.cancel()
        self._preview_timer = self._loop.call_later(PREVIEWS_AGAIN_S, self._show)

    def _show(self) -> None:
        for message in self._greeting.of(Rank.PREVIEW):
            self._uplink.send_state(message)

    def _stand_up(self) -> None:
        """Somebody said `offline` in our name: an older connection's last will, or an agent that came second."""
        if not self._leaving:
            self._uplink.send_state(self._online)

    def _step_back(self) -> None:
        self._uplink.give_up(self._claim.duplicate())

    def _tell_retained(self) -> None:
        topics = self._intake.retained
        if topics != self._retained_told:
            self._retained_told = topics
            self._callbacks.tell(Trouble.RETAINED_COMMAND, _retained_text(topics) if topics else None)

    def _tell_refused(self, refused: Mapping[str, str]) -> None:
        if refused:
            log.warning("subscription refused filters=%s", dict(refused))
        self._callbacks.tell(Trouble.ACL_SUBSCRIBE, subscription_trouble(refused) if refused else None)


def _retained_text(topics: Sequence[str]) -> str:
    clearing = " ; ".join(f"mosquitto_pub -r -n -t {shlex.quote(topic)}" for topic in topics[:3])
    return f"a retained command on {', '.join(topics[:3])} is never carried out; clear it with {clearing}"
