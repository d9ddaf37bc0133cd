"""What people are told, word for word: the sentences are all that some of them see of the agent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edge_agent.core import events as ev
from edge_agent.core.agent import Settings
from edge_agent.core.commands import Announce, Body, Command, Restart, SelectMode, Start, Stop, StopStream, Stream, Verb
from edge_agent.core.model import Camera, Mode, Purpose, ResultStatus, Step
from tests.fakes.world import CAMERAS, EPOCH, VGA, World

DUAL = Start(mode="dual-640")
MODES = "cam0-640, cam1-640, demo, dual-640, dual-720p, quick, stream"


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("before", "body", "told"),
    [
        (None, Announce(), "published everything again"),
        (None, Restart(), "restarting; a running recording goes on"),
        (None, None, "nothing to do: the command has no body"),
        (None, Stop(), "nothing was recording"),
        (None, StopStream(), "nothing was recording"),
        (None, DUAL, "recording dual-640 on cam0, cam1"),
        (None, Stream(), "streaming stream on cam0, cam1"),
        (None, Start(mode="dual-8k"), f"there is no mode 'dual-8k': one of {MODES}"),
        (None, SelectMode("dual-8k"), f"there is no mode 'dual-8k': one of {MODES}"),
        (None, Start(resolution="8k"), "there is no resolution '8k': one of 1080p, 640, 720p"),
        (None, Start(cameras=("cam9",)), "there is no camera 'cam9': one of cam0, cam1"),
        (None, Start(resolution="1080p"), "no mode records cam0, cam1 at 1080p: add one to the configuration"),
        (
            None,
            Start(mode="dual-640", resolution="640"),
            "mode goes without cameras and resolution: name one or the other",
        ),
        (DUAL, Stop(), "stopped, all files are finished"),
        (DUAL, SelectMode("dual-720p"), "recording dual-720p on cam0, cam1"),
        (
            DUAL,
            DUAL,
            "recording dual-640 already, and it goes on: stop it first, or send mode or duration to change it",
        ),
    ],
)
def test_the_answer_says_what_came_of_a_command(
    world: World, before: Body | None, body: Body | None, told: str
) -> None:
    if before:
        world.command(before)
        world.play()
    world.post(ev.CommandReceived(Command("a", Verb.START, body, world.now)))
    world.wait(3)
    assert world.final("a").message == told


def test_what_takes_a_while_is_accepted_in_words_first(world: World) -> None:
    for body in (DUAL, SelectMode("dual-720p"), Stop()):
        world.command(body)
        world.wait(3)
    accepted = [result.message for _, result in world.answers if result.status is ResultStatus.ACCEPTED]
    assert accepted == ["starting dual-640", "switching to dual-720p", "stopping"]


def test_a_stop_says_that_something_was_started_since(world: World) -> None:
    world.command(DUAL)
    world.play()
    world.command(Stop(), "a")
    world.command(DUAL)
    assert world.final("a").message == "stopped, and something was started since"


def test_what_a_stop_or_the_agents_own_end_overtakes_is_told_so(world: World) -> None:
    for name in ("a", "b"):
        world.command(DUAL, name, at=EPOCH + timedelta(seconds=5))
        world.post(
            ev.CommandReceived(Command("s", Verb.STOP, Stop(), world.now)) if name == "a" else ev.StopRequested()
        )
    assert world.final("a").message == "a stop came before its instant"
    assert world.final("b").message == "the agent is being stopped: look at the status when it is back"


def test_a_start_in_vain_says_of_every_camera_why(world: World) -> None:
    world.frozen.update(("cam0", "cam1"))
    world.command(DUAL, "a")
    world.post(ev.StorageStalled("the disk does not answer"))
    world.wait(13)
    assert world.final("a").message == "cam0: no frames yet; cam1: no frames yet"


def test_a_start_of_some_cameras_says_which_and_what_the_others_lack() -> None:
    cameras = (*CAMERAS, Camera("cam2", 2, "Left"))
    three = Mode("three", ("cam0", "cam1", "cam2"), Purpose.RECORD, (Step(VGA),))
    world = World(settings=Settings(cameras, {"three": three}, live=VGA))
    world.broken["cam1"] = ev.Cause.CAMERA_BUSY
    world.command(Start(mode="three"), "a")
    world.play()
    told = "recording on cam0, cam2 only, still trying the rest. cam1: camera_busy it was"
    assert world.final("a").message == told
