"""An outside made of values: it carries the core's effects out on pretended cameras, under a clock that tests turn.

It checks on every step what must always hold: one process a camera at the most, one final answer a command, and what a
deadline was named for is done by then, and all that is told fits the documents that tell it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from edge_agent.core import effects as fx
from edge_agent.core import events as ev
from edge_agent.core.agent import Agent, Settings
from edge_agent.core.commands import Body, Command, Result, Verb
from edge_agent.core.model import Camera, Code, EventType, Mode, Now, Profile, Purpose, Run, RunRecord, Session, Step
from edge_agent.wire import event_document, result_document

EPOCH = datetime(2026, 11, 23, 9, 15, tzinfo=UTC)
VGA = Profile(640, 480, 30, 1_500_000)
HD = Profile(1280, 720, 30, 3_000_000)
CAMERAS = (Camera("cam0", 0, "Front"), Camera("cam1", 1, "Rear"))
BOTH = ("cam0", "cam1")


def _mode(name: str, cameras: tuple[str, ...], *steps: Step, purpose: Purpose = Purpose.RECORD) -> Mode:
    return Mode(name, cameras, purpose, steps, comparison=name == "quick")


MODES = {
    mode.name: mode
    for mode in (
        _mode("cam0-640", ("cam0",), Step(VGA)),
        _mode("cam1-640", ("cam1",), Step(VGA)),
        _mode("dual-640", BOTH, Step(VGA)),
        _mode("dual-720p", BOTH, Step(HD)),
        _mode("stream", BOTH, Step(VGA), purpose=Purpose.LIVE),
        _mode("quick", BOTH, Step(VGA, 10.0)),
        _mode("demo", BOTH, Step(VGA, 5.0), Step(HD, 5.0)),
    )
}
SETTINGS = Settings(CAMERAS, MODES, live=Profile(640, 480, 30))
FRESH = fx.SavedState("dual-640", 0.0, 1, None)


@dataclass
class World:
    """One agent and its pretended outside.

    `broken` maps a camera to why its program ends at once; a camera in `frozen` lives and delivers nothing. `records`
    are what all recording runs so far have noted of themselves, by run id.
    """

    saved: fx.SavedState = FRESH
    mono_s: float = 1000.0
    answered: dict[str, Result] = field(default_factory=dict)
    settings: Settings = SETTINGS
    agent: Agent = field(init=False)
    alive: dict[str, Run] = field(default_factory=dict)
    records: dict[str, RunRecord] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    unclosed: set[str] = field(default_factory=set)
    broken: dict[str, ev.Cause] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    answers: list[tuple[Command, Result]] = field(default_factory=list)
    reports: list[fx.Report] = field(default_factory=list)
    jobs: list[Command] = field(default_factory=list)
    compared: list[fx.Compare] = field(default_factory=list)
    announced: int = 0
    restarts: int = 0
    commands: int = 0

    def __post_init__(self) -> None:
        self.agent = Agent(self.settings, self.saved, self.answered)

    @property
    def now(self) -> Now:
        return Now(self.mono_s, EPOCH + timedelta(seconds=self.mono_s - 1000.0))

    # -- doing --------------------------------------------------------------------------------------------------------

    def post(self, event: ev.Event) -> None:
        for effect in self.agent.handle(event, self.now):
            self._carry_out(effect)

    def command(
        self, body: Body, command_id: str | None = None, verb: Verb = Verb.START, at: datetime | None = None
    ) -> str:
        self.commands += 1
        command = Command(command_id or f"c{self.commands}", verb, body, self.now, at=at)
        self.post(ev.CommandReceived(command))
        return command.id

    def play(self) -> None:
        """Let every camera do what it does by itself: deliver, break, or end because it was asked to."""
        for run in list(self.alive.values()):
            if run.run_id in self.stopping:
                self.kill(run.camera, ev.Cause.STOPPED)
            elif cause := self.broken.get(run.camera):
                self.kill(run.camera, cause)
            elif run.camera not in self.frozen:
                self.post(ev.FirstFrame(run.camera, run.run_id, self.now))
                self.post(ev.BytesSeen(run.camera, run.run_id))
        for run_id in sorted(self.unclosed):
            self.unclosed.discard(run_id)
            self.post(ev.RunClosed(run_id))

    def kill(self, camera: str, cause: ev.Cause = ev.Cause.KILLED) -> None:
        run = self.alive.pop(camera)
        self.stopping.discard(run.run_id)
        if run.purpose is Purpose.RECORD:
            self.unclosed.add(run.run_id)
        self.post(ev.RunEnded(camera, run.run_id, cause, f"{cause} it was"))

    def wait(self, seconds: float, *, playing: bool = True) -> None:
        """Let time pass, deadline by deadline, the cameras playing once a second."""
        end = self.mono_s + seconds
        while self.mono_s < end:
            deadline = self.agent.next_deadline()
            step_end = min(end, self.mono_s + 1.0)
            self.mono_s = min(step_end, max(deadline, self.mono_s + 1e-3)) if deadline is not None else step_end
            self.post(ev.DeadlinePassed())
            assert deadline is None or deadline > self.mono_s or deadline != self.agent.next_deadline(), "dealt with"
            if playing:
                self.play()

    # -- seeing -------------------------------------------------------------------------------------------------------

    def finals(self, command_id: str) -> list[Result]:
        return [result for command, result in self.answers if command.id == command_id and result.final]

    def final(self, command_id: str) -> Result:
        (result,) = self.finals(command_id)
        return result

    def reported(self, event_type: EventType) -> list[fx.Report]:
        return [report for report in self.reports if report.event_type is event_type]

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.StartRun(run, session):
                assert run.camera not in self.alive, f"two processes on {run.camera}"
                assert isinstance(session, Session) == (run.purpose is Purpose.RECORD)
                self.alive[run.camera] = run
                if session is not None:
                    self.records[run.run_id] = RunRecord(run, session, ("x",), self.now)
            case fx.StopRun(run_id):
                self.stopping.add(run_id)
            case fx.UpdateSession(session):
                assert isinstance(session, Session)
                self.records = {key: replace(record, session=session) for key, record in self.records.items()}
            case fx.Answer(command, result):
                assert result_document("van7", result)["message"]
                self.answers.append((command, result))
            case fx.Report(event_type, fields):
                event_document("van7", event_type, EPOCH, fields)
                self.reports.append(effect)
            case fx.Save(state):
                self.saved = state
            case fx.DoJob(command):
                self.jobs.append(command)
            case fx.Compare():
                self.compared.append(effect)
            case fx.RestartAgent():
                self.restarts += 1
            case fx.Announce():
                self.announced += 1
            case _:
                assert_never(effect)


def job_done(command_id: str, code: Code = Code.OK) -> ev.JobDone:
    return ev.JobDone(command_id, code, "done", {})
