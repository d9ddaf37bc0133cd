"""The simulated rpicam-vid as its tests run it: a child process whose stderr can be waited for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import av

from edge_agent.simulated.picture import read_frame_number

PATIENCE_S = 60.0
"""How long a busy machine may take for anything; nothing is asserted about how fast it was."""

LIBAV = ("--codec", "libav", "--libav-format", "tee", "--libav-video-codec-opts")
ENCODER = "flags=+global_header;preset=superfast;tune=zerolatency;bf=0;thread_type=slice;slices=2"
SEGMENT = (
    "[f=segment:segment_time={seconds}:segment_time_delta=0.1:segment_format=mp4:segment_format_options="
    r"movflags=+frag_keyframe+delay_moov+default_base_moof\\:flush_packets=1:segment_list={listed}"
    ":segment_list_type=csv:reset_timestamps=1:onfail=abort:use_fifo=1:fifo_options=queue_size=600]{pattern}"
)


def tee(directory: Path, *, port: int = 9, seconds: int = 2, listed: str = r"pipe\\:1") -> tuple[str, ...]:
    """The options that record segments to a directory and a live copy to a UDP port (9: nobody listens)."""
    segments = SEGMENT.format(seconds=seconds, listed=listed, pattern=directory / "run_%06d.mp4")
    return (*LIBAV, ENCODER, "-o", f"udp://127.0.0.1:{port}?pkt_size=1316&x=.ts|{segments}")


class Program:
    """One running process. Its stderr is collected in the background, so it never blocks on it."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], stdout: int | IO[bytes]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent.simulated.rpicam_vid", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._collector = threading.Thread(target=self._collect, name="stderr of rpicam-vid")
        self._collector.start()

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """The line in which the pattern has occurred for the `times`th time, as soon as it is there."""
        expression = re.compile(pattern)

        def found() -> list[str]:
            return [line for line in self._lines if expression.search(line)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= times or self._ended, PATIENCE_S)
            matches = found()
        assert len(matches) >= times, f"{pattern!r} not {times} times in:\n{self.stderr}"
        return matches[times - 1]

    def wait_until_configured(self) -> None:
        """Until the camera is set up; frames and signal handlers come after the start-up delay."""
        self.wait_for("configuring streams")

    def returncode(self) -> int:
        """Wait for the end."""
        code = self.process.wait(PATIENCE_S)
        self._collector.join(PATIENCE_S)
        return code

    @property
    def stderr(self) -> str:
        with self._changed:
            return "".join(self._lines)

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._collector.join(PATIENCE_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _collect(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line.decode(errors="replace"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Machine:
    """A simulated machine of its own: cameras, locks and faults that no other test shares."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.control = directory / "control.json"
        self._environment = environment | {
            "EDGE_AGENT_SIM_LOCK_DIR": str(directory / "locks"),
            "EDGE_AGENT_SIM_CONTROL": str(self.control),
            "EDGE_AGENT_SIM_START_DELAY_S": "0",
            "EDGE_AGENT_SIM_STOP_DELAY_S": "0",
        }
        self._programs: list[Program] = []

    def start(self, *arguments: str, stdout: int | IO[bytes] = subprocess.DEVNULL, **variables: str) -> Program:
        """Start the program; keywords are variables without their `EDGE_AGENT_SIM_` prefix."""
        extra = {f"EDGE_AGENT_SIM_{name.upper()}": value for name, value in variables.items()}
        program = Program(arguments, self._environment | extra, stdout)
        self._programs.append(program)
        return program

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a run that ends by itself."""
        program = self.start(*arguments, stdout=subprocess.PIPE, **variables)
        output = program.stdout.read().decode()
        return program.returncode(), output, program.stderr

    def inject(self, faults: dict[str, object]) -> None:
        """Put these faults in force, whole at once."""
        draft = self.control.with_suffix(".draft")
        draft.write_text(json.dumps(faults))
        draft.replace(self.control)

    def end(self) -> None:
        for program in self._programs:
            program.end()


def frame_numbers(path: Path) -> list[int | None]:
    """The number burnt into each frame of a video file, in the order of the file."""
    with av.open(str(path)) as container:
        return [number_of(frame) for frame in container.decode(video=0)]


def number_of(frame: av.VideoFrame) -> int | None:
    plane = frame.planes[0]
    return read_frame_number(memoryview(plane), frame.width, frame.height, plane.line_size)


def jpeg_numbers(stream: bytes) -> list[int | None]:
    """The numbers burnt into whole JPEGs that follow each other."""
    decoder = av.CodecContext.create("mjpeg", "r")
    pictures = [piece + b"\xff\xd9" for piece in stream.split(b"\xff\xd9")[:-1]]
    return [number_of(frame) for picture in pictures for frame in decoder.decode(av.Packet(picture))]
