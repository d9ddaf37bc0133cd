"""The whole program, fed by ffmpeg as a recorder would."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_agent.tapframes import Kind, TapFrame, TapFrames
from tests.media.conftest import ROOT, TIMEOUT_S, Footage, encode, module_argv, pictures_of, size_of

SOI = b"\xff\xd8\xff"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


class Tap:
    """The program as its parent has it: stdin, stdout, the pipe of the copy, and a recorder to send to it."""

    def __init__(self, stack: ExitStack, port: int) -> None:
        self.port = port
        self._stack = stack
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        self._fmp4 = reader
        argv = module_argv("tap", "--port", str(port), "--fmp4-fd", str(writer))
        pipe = subprocess.PIPE
        started = subprocess.Popen(argv, cwd=ROOT, pass_fds=[writer], stdin=pipe, stdout=pipe, stderr=pipe)
        self.process = stack.enter_context(started)
        stack.callback(self.process.kill)
        os.close(writer)
        self._parser = TapFrames()
        self.frames: list[TapFrame] = []
        self.jpegs = b""

    def order(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Send a file over and over, in real time, as the recorder sends its second copy."""
        target = f"udp://127.0.0.1:{self.port}?pkt_size=1316"
        argv = ["ffmpeg", "-v", "quiet", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy"]
        player = self._stack.enter_context(subprocess.Popen([*argv, "-f", "mpegts", target]))
        self._stack.callback(player.kill)
        return player

    def read_until(self, done: Callable[[], bool]) -> None:
        assert self.process.stdout is not None
        stdout = self.process.stdout.fileno()
        deadline_s = time.monotonic() + TIMEOUT_S
        while not done():
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{len(self.frames)} frames, {len(self.jpegs)} bytes of JPEG"
            for ready in select.select([self._fmp4, stdout], [], [], left_s)[0]:
                data = os.read(ready, 1 << 20)
                assert data or done(), "the tap closed its pipe"
                if ready == stdout:
                    self.jpegs += data
                else:
                    self.frames += self._parser.feed(data)

    def finish(self) -> bytes:
        """Close stdin; the program ends by itself. What it said on stderr."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        assert self.process.wait(TIMEOUT_S) == 0
        return self.process.stderr.read()


@pytest.fixture
def tap() -> Iterator[Tap]:
    with ExitStack() as stack:
        yield Tap(stack, free_port())


def copied(frames: list[TapFrame], path: Path) -> Path:
    path.write_bytes(b"".join(frame.payload for frame in frames if frame.kind is not Kind.TYPE))
    return path


def test_a_copy_plays_and_has_every_picture_of_the_recording(tap: Tap, footage: Footage, tmp_path: Path) -> None:
    tap.order("copy on")
    tap.play(footage.whole)
    tap.read_until(lambda: len(tap.frames) > 60)
    assert [frame.kind for frame in tap.frames[:4]] == [Kind.TYPE, Kind.INIT, Kind.KEY, Kind.FRAGMENT]
    assert tap.frames[0].payload == b'video/mp4; codecs="avc1.42C00D"'
    arrivals = [frame.arrived_us for frame in tap.frames[2:]]
    assert arrivals == sorted(arrivals)
    assert abs(arrivals[-1] / 1e6 - time.time()) < TIMEOUT_S
    seen = pictures_of(copied(tap.frames, tmp_path / "copy.mp4"))
    sent = pictures_of(footage.whole)
    begin = sent.index(seen[0])
    assert seen == (sent * 2)[begin : begin + len(seen)]
    assert tap.jpegs == b""
    assert tap.finish() == b""


def test_jpegs_come_while_they_are_asked_for(tap: Tap, footage: Footage, tmp_path: Path) -> None:
    tap.play(footage.whole)
    tap.order("jpeg 30 160 60")
    tap.read_until(lambda: tap.jpegs.count(SOI) > 5)
    tap.order("jpeg off", "copy on")
    tap.read_until(lambda: len(tap.frames) > 30)
    before = len(tap.jpegs)
    assert tap.jpegs.endswith(b"\xff\xd9")
    tap.read_until(lambda: len(tap.frames) > 45)
    assert len(tap.jpegs) == before
    jpeg = tmp_path / "first.jpg"
    jpeg.write_bytes(tap.jpegs[: tap.jpegs.index(SOI, 1)])
    assert size_of(jpeg) == (160, 120)
    assert tap.finish() == b""


def test_copy_and_jpegs_at_once_and_the_copy_asked_for_again(tap: Tap, footage: Footage) -> None:
    tap.play(footage.whole)
    tap.order("copy on", "jpeg 10 0 80")
    tap.read_until(lambda: len(tap.frames) > 10 and tap.jpegs.count(SOI) > 3)
    tap.order("copy off")
    before = tap.jpegs.count(SOI)
    tap.read_until(lambda: tap.jpegs.count(SOI) > before + 5)
    tap.order("copy on")
    tap.read_until(lambda: sum(frame.kind is Kind.INIT for frame in tap.frames) == 2)
    assert tap.finish() == b""


def test_the_next_recorder_begins_another_stream(tap: Tap, footage: Footage, tmp_path: Path) -> None:
    larger = encode(tmp_path / "larger.mp4", 3, size="640x480")
    tap.order("copy on", "jpeg 5 0 50")
    first = tap.play(footage.whole)
    tap.read_until(lambda: len(tap.frames) > 20 and SOI in tap.jpegs)
    first.kill()
    first.wait()
    tap.play(larger)
    tap.read_until(lambda: [frame.kind for frame in tap.frames].count(Kind.TYPE) == 2)
    begin = max(number for number, frame in enumerate(tap.frames) if frame.kind is Kind.TYPE)
    tap.read_until(lambda: len(tap.frames) > begin + 10)
    assert size_of(copied(tap.frames[:begin], tmp_path / "first.mp4")) == (320, 240)
    assert size_of(copied(tap.frames[begin:], tmp_path / "second.mp4")) == (640, 480)
    before = tap.jpegs.count(SOI)
    tap.read_until(lambda: tap.jpegs.count(SOI) > before + 2)
    jpeg = tmp_path / "last.jpg"
    jpeg.write_bytes(tap.jpegs[tap.jpegs.rindex(SOI) :])
    assert size_of(jpeg) == (640, 480)


def test_rubbish_on_the_port_and_in_the_orders_is_survived(tap: Tap, footage: Footage) -> None:
    tap.order("open the pod bay doors", "copy on")
    assert tap.process.stderr is not None
    assert b"pod bay" in tap.process.stderr.readline()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(50):
            stranger.sendto(os.urandom(1316), ("127.0.0.1", tap.port))
    tap.play(footage.whole)
    tap.read_until(lambda: len(tap.frames) > 10)


def test_it_ends_with_stdin_also_when_no_recorder_was_ever_there(tap: Tap) -> None:
    assert tap.finish() == b""


def test_a_port_that_is_taken_is_said(tap: Tap) -> None:
    # Whoever opens the second tap has to know that the first one listens: it does when it has read its orders.
    tap.order("no order")
    assert tap.process.stderr is not None
    assert tap.process.stderr.readline()
    second = subprocess.run(
        module_argv("tap", "--port", str(tap.port), "--fmp4-fd", "1"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert second.returncode == 1
    assert b"in use" in second.stderr


def test_it_dies_with_its_parent() -> None:
    """The parent is killed; stdin stays open in this process, so that only the kernel can have ended the child."""
    stdin, keep = os.pipe()
    argv = module_argv("tap", "--port", str(free_port()), "--fmp4-fd", "1")
    code = f"import subprocess; child = subprocess.Popen({argv!r}); print(child.pid, flush=True); child.wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        os.write(keep, b"no order\n")
        assert parent.stderr.readline()
        parent.kill()
        assert select.select([pidfd], [], [], TIMEOUT_S)[0]
    for descriptor in (stdin, keep, pidfd):
        os.close(descriptor)


def test_it_leaves_an_interrupt_of_the_terminal_to_its_parent_and_yields_to_the_recorder(tap: Tap) -> None:
    tap.order("no order")
    assert tap.process.stderr is not None
    assert tap.process.stderr.readline()
    assert os.getpriority(os.PRIO_PROCESS, tap.process.pid) >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    tap.process.send_signal(signal.SIGINT)
    tap.order("still no order")
    assert tap.process.stderr.readline()
    tap.finish()
