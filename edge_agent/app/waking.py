"""How the core comes to life: with what the last agent selected and was told, and with numbers not used yet."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace

from edge_agent.app.answering import left_to_answer
from edge_agent.app.found import Found
from edge_agent.app.memory import recall
from edge_agent.app.stores import Stores
from edge_agent.config import Config
from edge_agent.core.agent import Agent, Settings
from edge_agent.core.commands import Command, Result
from edge_agent.core.model import Session
from edge_agent.driver import Driver
from edge_agent.host.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Awake:
    """The driver, without hands yet; the session that was on; and what is to be answered for the last agent."""

    driver: Driver
    session: Session | None
    answers: tuple[tuple[Command, Result], ...]


async def wake(config: Config, stores: Stores, clock: Clock, machine_boot: str, found: Found) -> Awake:
    """Read what the state directory remembers; where that is lost, the archive and the spool tell the most of it."""
    saved, damage = await stores.state.run(stores.state_file.load)
    recalled = await stores.recall_commands()
    state = recall(saved, config, machine_boot, clock.now())
    if damage is not None:
        log.warning("%s; the damaged file: %s", damage.message, damage.set_aside or "could not be set aside")
    if saved is None:
        await stores.scan()  # before anything is recorded: only the archive tells what numbers were given
    newest = max(await stores.newest_sequence(), found.newest_sequence)
    state = replace(state, next_sequence=max(state.next_sequence, newest + 1))
    if saved is None or damage is not None:
        state = replace(state, session=found.session or state.session)
    jitter = random.random()  # noqa: S311 - spreads retries, no secret
    settings = Settings(config.camera_list(), config.mode_table(), config.live_profile(), jitter)
    answers = left_to_answer(recalled, clock.now())
    known = recalled.results | {result.id: result for _, result in answers}
    agent = Agent(settings, replace(state, session=None), known)
    return Awake(Driver(agent, clock), state.session, answers)
