"""The life of one opened camera: frame by frame until told to stop, or until a fault has it."""

from __future__ import annotations

import os
import signal
import time
from typing import NoReturn

from edge_agent.simulated.console import Console
from edge_agent.simulated.faults import Fault, Faults, Kind
from edge_agent.simulated.options import Options
from edge_agent.simulated.picture import Plane, TestPicture
from edge_agent.simulated.sensor import FrameClock, Sensor
from edge_agent.simulated.signals import Signals
from edge_agent.simulated.sinks import Died, Sink

# How often a camera without frames looks whether its fault is still there.
_LOOK_S = 0.05
_MILLISECOND_NS = 1_000_000


class Session:
    """Takes pictures from `Sensor`, paints them and hands them to the sink."""

    def __init__(
        self, options: Options, sink: Sink, faults: Faults, signals: Signals, console: Console, clock: FrameClock
    ) -> None:
        self._options = options
        self._sink = sink
        self._faults = faults
        self._signals = signals
        self._console = console
        self._clock = clock
        planes = [Plane(memoryview(plane).cast("B"), plane.line_size) for plane in sink.frame.planes]
        self._picture = TestPicture(
            planes, options.width, options.height, options.camera, hflip=options.hflip, vflip=options.vflip
        )

    def run(self) -> None:
        """Deliver frames until a signal, `-t` or `--frames` ends it, then finish the files. Raises Died."""
        sensor = Sensor(self._options.frames_per_second)
        started_ns = time.monotonic_ns()
        number = 0
        while True:
            running_s = (time.monotonic_ns() - started_ns) / 1e9
            if self._delivers_nothing(running_s):
                continue
            taken_ns = sensor.wait(2 if self._faults.find(Kind.HALF_RATE, running_s) else 1)
            if self._is_over(number, time.monotonic_ns() - started_ns, running_s):
                break
            self._die_if_told(running_s)
            number += 1
            self._take(number, taken_ns, running_s)
        self._sink.finish()

    def _take(self, number: int, taken_ns: int, running_s: float) -> None:
        offset_s = self._faults.clock_offset_s(running_s)
        self._picture.paint(number, self._clock.unix_s(taken_ns, offset_s))
        garbage = self._faults.find(Kind.GARBAGE, running_s) is not None
        self._sink.take(self._clock.stamp_us(taken_ns, offset_s), garbage=garbage)
        if not self._options.nopreview:
            rate = self._options.frames_per_second
            self._console.error(f"#{number - 1} ({rate:.2f} fps) exp 33239.00 ag 1.00 dg 1.00")

    def _is_over(self, frames: int, elapsed_ns: int, running_s: float) -> bool:
        if self._faults.find(Kind.DEAF, running_s):
            self._signals.forget()
        limit_ns = self._options.timeout_ns
        if not self._options.frames and limit_ns and elapsed_ns > limit_ns:
            self._console.tell(f"Halting: reached timeout of {limit_ns // _MILLISECOND_NS} milliseconds.")
            return True
        return self._signals.ask_to_stop() or 0 < self._options.frames <= frames

    def _delivers_nothing(self, running_s: float) -> bool:
        """Sit out a moment without frames, if a fault wants that. Signals are not looked at meanwhile."""
        timeout = self._faults.find(Kind.TIMEOUT, running_s)
        if timeout is None and self._faults.find(Kind.FREEZE, running_s) is None:
            return False
        self._die_if_told(running_s)
        if timeout is None:
            time.sleep(_LOOK_S)
            return True
        # The real timer is five frames, and a second at least.
        silence_s = max(1.0, 5 / self._options.frames_per_second)
        until = time.monotonic() + silence_s
        while time.monotonic() < until:
            time.sleep(_LOOK_S)
            if self._faults.find(Kind.TIMEOUT, running_s) is None:
                return True
        self._console.device_timeout()
        return True

    def _die_if_told(self, running_s: float) -> None:
        if fault := self._faults.find(Kind.DIE, running_s):
            _end(fault)
        if fault := self._faults.find(Kind.ABORT, running_s):
            raise Died(fault.what)
        if self._faults.find(Kind.SEGV, running_s):
            _kill_self(signal.SIGSEGV)


def _end(fault: Fault) -> NoReturn:
    if fault.exit < 0:
        _kill_self(signal.Signals(-fault.exit))
    os._exit(fault.exit)


def _kill_self(number: signal.Signals) -> NoReturn:
    """Die by this signal, by its default action."""
    if number not in {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
