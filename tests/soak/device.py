"""One device under a load of chance: commands, kills and looks at rest. The dice are seeded; the machine is not."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.fakes.agent import Document, RunningAgent, Sent, eventually
from tests.fakes.mosquitto import Mosquitto
from tests.soak.audience import Audience
from tests.soak.judge import Disturbance, Rest

DEVICE = "soak"
VIEWERS = 6
SEGMENT_S = 5
ANSWER_S = 60.0
"""Until a final answer: 30 s by contract, and a busy machine."""
KILL_EVERY_S = 25.0
"""Between two faults: five failures of a camera within a minute would make it give up for a minute."""

Payload = str | bytes | Document


class Device:
    """An agent on a broker with an audience; notes all that is done to it. Use as a context manager."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.sent: list[tuple[str, Sent]] = []
        self.disturbances: list[Disturbance] = []
        self.rests: list[Rest] = []
        self.lives = 0
        self._given_up: list[Sent] = []
        self._seed = seed
        self._chance = random.Random(seed)
        self._broker = Mosquitto(directory / "broker")
        self.agent = RunningAgent(
            directory / DEVICE,
            self._broker,
            device=DEVICE,
            recording__segment_s=SEGMENT_S,
            telemetry__interval_s=5,
            live__linger_s=1,
            rpicam__command="simulated",
        )
        self.audience = Audience(VIEWERS, seed, self._url)
        self._wait = threading.Event().wait

    def __enter__(self) -> Self:
        self._broker.__enter__()
        self.agent.__enter__()
        self._start()
        self.audience.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.audience.end()
        finally:
            self.agent.__exit__(None, None, None)
            self._broker.__exit__(None, None, None)

    def _url(self) -> str | None:
        infos = self.agent.listener.of(self.agent.topic("info"))
        url: str | None = infos[-1].document["http"]["url"] if infos else None
        return url

    def _start(self) -> None:
        self.agent.start()
        self.lives += 1

    # -- commands -----------------------------------------------------------------------------------------------------

    def command(self) -> None:
        """Send one command of chance and, mostly, wait for what comes of it."""
        verb, payload = self._some_command()
        if verb == "restart":
            self.settle()
            self.agent.mark()
        sent = self._send(verb, payload)
        if verb == "restart":
            # As with any device that is offline, nobody takes what is sent meanwhile.
            self._answered(sent)
            self.agent.await_online()
        elif self._chance.random() < 0.7:
            self._answered(sent)

    def _some_command(self) -> tuple[str, Payload]:
        chance = self._chance
        mode = chance.choice(("dual-640", "dual-640", "dual-640", "cam0-640", "cam1-640"))
        return chance.choices(
            (
                ("start", mode),
                ("start", {"mode": mode, "duration": chance.randint(5, 40), "label": f"soak {chance.randint(1, 9)}"}),
                ("stop", ""),
                ("mode", mode),
                ("duration", str(chance.choice((0, 20, 60)))),
                ("record", chance.choice(("ON", "OFF"))),
                ("stream", chance.choice(("ON", "OFF"))),
                ("snapshot", ""),
                ("lock", "10s"),
                ("ping", ""),
                ("announce", ""),
                ("restart", ""),
                ("start", chance.choice(("nonsense", "{", "\udcff".encode("utf-8", "surrogateescape")))),
                ("dance", ""),
            ),
            (20, 6, 2, 5, 2, 4, 2, 10, 4, 10, 2, 1, 3, 2),
        )[0]

    def _send(self, verb: str, payload: Payload = "") -> Sent:
        sent = self.agent.send(verb, payload)
        self.sent.append((f"{verb} {payload!r}", sent))
        if verb in ("start", "stop", "mode", "record", "stream"):
            # A change of mode or a stop ends files by command: the status may be a moment ahead of or behind them.
            self._disturb(None, f"command {verb}")
        return sent

    def _answered(self, sent: Sent) -> None:
        """Wait for the final answer. One that does not come is judged at the end, with all the others."""
        with suppress(AssertionError):
            sent.final(ANSWER_S)

    def settle(self) -> None:
        """Wait until every command that was sent has its final answer."""
        for _, sent in self.sent[-20:]:
            if sent not in self._given_up:
                self._answered(sent)
                if not any(document["status"] != "accepted" for document in sent.results()):
                    self._given_up.append(sent)

    # -- faults -------------------------------------------------------------------------------------------------------

    def fault(self, *, mild: bool) -> str:
        """Do one thing that a device has to survive; a mild one leaves the agent's process alone."""
        what: Callable[[], str] = self._chance.choice(
            (self._kill_recorder, self._freeze_recorder, self._restart_broker, self._kill_broker)
            if mild
            else (self._kill_recorder, self._kill_agent, self._kill_agent, self._stop_agent, self._restart_broker)
        )
        return what()

    def _disturb(self, camera: str | None, what: str) -> None:
        self.disturbances.append(Disturbance(time.time(), camera, what))

    def _kill_recorder(self, signal_number: int = signal.SIGKILL, what: str = "recorder killed") -> str:
        recorders = self.agent.recorders()
        if not recorders:
            self._answered(self._send("start", "dual-640"))
            recorders = eventually(self.agent.recorders, "a recorder to kill", ANSWER_S)
        camera = self._chance.choice(sorted(recorders))
        self._disturb(camera, what)
        with suppress(ProcessLookupError):
            os.kill(recorders[camera], signal_number)
        return f"{what}: {camera}"

    def _freeze_recorder(self) -> str:
        return self._kill_recorder(signal.SIGSTOP, "recorder frozen")

    def _kill_agent(self) -> str:
        # What the broker has taken but not yet delivered is lost with the agent's session; nobody promises that.
        for _, sent in self.sent[-5:]:
            with suppress(AssertionError):
                eventually(sent.results, "a first answer", ANSWER_S)
        self._disturb(None, "agent killed")
        self.agent.kill()
        self._wait(self._chance.uniform(0.0, 3.0))
        self._start()
        return "agent killed"

    def _stop_agent(self) -> str:
        self.settle()
        self._disturb(None, "agent stopped")
        self.agent.stop()
        self._disturb(None, "agent started")
        self._start()
        return "agent stopped and started"

    def _restart_broker(self) -> str:
        self.settle()
        self._broker.stop()
        self._wait(self._chance.uniform(0.0, 5.0))
        return self._broker_again("broker restarted")

    def _kill_broker(self) -> str:
        self.settle()
        self._broker.kill()
        return self._broker_again("broker killed")

    def _broker_again(self, what: str) -> str:
        self.agent.mark()
        self._broker.start()
        self.agent.await_online()
        return what

    # -- rest ---------------------------------------------------------------------------------------------------------

    def rest(self) -> Rest:
        """Send everybody away, stop, wait until nothing is left to do, and look at what the agent holds then."""
        self.settle()
        self.audience.send_away()
        self._answered(self._send("stream", "OFF"))
        self._answered(self._send("stop"))
        pid = self.agent.the_process().pid
        eventually(lambda: self.agent.processes() == [pid], f"rest; there are {self.agent.processes()}", ANSWER_S)
        found = min((self._look(pid) for _ in range(5) if not self._wait(0.2)), key=lambda rest: rest.fds)
        self.rests.append(found)
        self.audience.let_in()
        return found

    def _look(self, pid: int) -> Rest:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        fds = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return Rest(self.lives, fds, int(status["VmRSS"].split()[0]) * 1024, int(status["Threads"]))

    # -- the whole ----------------------------------------------------------------------------------------------------

    def live(self, seconds: float, say: Callable[[str], None]) -> None:
        """Commands and faults for so long. In the first half the agent is killed too; then one life has to last."""
        begin = time.monotonic()
        rest_every_s = max(12.0, min(180.0, seconds / 6))
        next_rest_s, next_fault_s = rest_every_s, 5.0
        fault_every_s = min(KILL_EVERY_S, seconds / 9)
        while (at_s := time.monotonic() - begin) < seconds:
            if at_s >= next_rest_s:
                rest = self.rest()
                say(f"{at_s:6.0f} s  at rest: {rest.fds} fds, {rest.rss_bytes >> 20} MiB, {rest.threads} threads")
                next_rest_s = time.monotonic() - begin + rest_every_s
            elif at_s >= next_fault_s:
                say(f"{at_s:6.0f} s  {self.fault(mild=at_s > seconds / 2)}")
                next_fault_s = time.monotonic() - begin + fault_every_s * self._chance.uniform(0.5, 1.5)
            else:
                self.command()
                self._wait(self._chance.uniform(0.1, 2.0))
        say(f"{seconds:6.0f} s  the end")
        self.rest()
        self.audience.send_away()
        self.agent.stop()

    def tally(self) -> Counter[str]:
        """How many commands of each verb were sent."""
        return Counter(what.split()[0] for what, _ in self.sent)
