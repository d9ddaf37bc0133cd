"""A device whose recording volume is a volume of its own, that can fill up, fail, and be pulled out."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.fakes.agent import PATIENCE_S, Document, RunningAgent, eventually
from tests.fakes.mounts import Mounts

ROOT = Path(__file__).parents[2]
FLOOR_BYTES = 4 << 20
SMALL = {"recording__min_free_bytes": FLOOR_BYTES, "recording__min_free_percent": 0}
"""For a volume of some MiB: what retention keeps free of it."""


def codes(agent: RunningAgent) -> set[str]:
    """The problems in the newest status."""
    return {problem["code"] for problem in agent.status["problems"]}


def await_problem(agent: RunningAgent, code: str) -> str:
    """Wait until a problem is in the status, and return its message."""
    status = agent.wait_for(lambda status: code in {one["code"] for one in status["problems"]}, f"problem {code}")
    message: str = next(one["message"] for one in status["problems"] if one["code"] == code)
    return message


def await_no_problem(agent: RunningAgent, code: str) -> None:
    agent.wait_for(lambda status: code not in {one["code"] for one in status["problems"]}, f"no problem {code}")


def await_footage(agent: RunningAgent, count: int) -> None:
    """Wait until so many segments of each camera that records were told as stored since the last start."""
    for camera in eventually(agent.recorders, "a recorder"):
        agent.wait_for_event("segment_stored", partial(_is_of, camera), times=count)


def _is_of(camera: str, event: Document) -> bool:
    return bool(event["camera"] == camera)


def picture(agent: RunningAgent, camera: str) -> bytes:
    """A fresh picture, as a browser gets it."""
    return get(agent, f"/snapshot/{camera}.jpg")


def get(agent: RunningAgent, path: str) -> bytes:
    """What the device's page answers on a path, which has to be there."""
    connection = page(agent)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, f"{path}: {answer.status} {content[:500]!r}"
    return content


def page(agent: RunningAgent) -> HTTPConnection:
    """A connection to the device's page."""
    return HTTPConnection(urlsplit(agent.heard("info")[-1].document["http"]["url"]).netloc, timeout=40)


def assert_live(agent: RunningAgent) -> None:
    """See that live view goes on for both cameras."""
    for camera in ("cam0", "cam1"):
        assert picture(agent, camera).startswith(b"\xff\xd8"), camera


def assert_all_plays(root: Path) -> int:
    """Decode every stored file; how many there are."""
    paths = sorted(root.glob("*x*/*/*.mp4"))
    for path in paths:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-f", "null", "-"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"{path}: {done.stderr}"
    return len(paths)


@contextmanager
def filled(root: Path, *, leaving_bytes: int = 0) -> Iterator[None]:
    """Somebody else's file takes all the room but a rest."""
    film = root / "somebody's film.mkv"
    with film.open("wb", buffering=0) as file:
        while (size := min(_free_bytes(root) - leaving_bytes, 1 << 20)) > 0:
            try:
                file.write(bytes(size))
            except OSError:
                break
    try:
        yield
    finally:
        film.unlink()


def _free_bytes(root: Path) -> int:
    facts = os.statvfs(root)
    return facts.f_bavail * facts.f_frsize


class FaultyDisk:
    """A volume that fails as it is told; see tests/fakes/faulty_disk.py. Lives in a namespace, ends with the context.

    `backing` is the folder behind it, where what was written can be seen whatever the volume answers.
    """

    def __init__(self, mounts: Mounts, folder: Path) -> None:
        self.folder = folder
        self.backing = folder.with_name(folder.name + " behind")
        self.faults = folder.with_name(folder.name + " faults.json")
        self._mounts = mounts
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.backing.mkdir(exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [*self._mounts.entrance, sys.executable, "-c", _PROGRAM, ROOT, self.backing, self.folder, self.faults],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"mounted\n", "no FUSE: /dev/fuse is needed"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pull_out()

    def fail(self, faults: Mapping[str, str]) -> None:
        """Let kinds of operation fail from now on: `{"write": "EIO"}`. With `{}` all is well again."""
        draft = self.faults.with_suffix(".draft")
        draft.write_text(json.dumps(faults))
        draft.replace(self.faults)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """No answer to anything meanwhile."""
        process = self._the_process()
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def await_held(self) -> None:
        """Wait until an operation that shall hang does so."""
        stdout = self._the_process().stdout
        assert stdout is not None
        assert select.select([stdout], [], [], PATIENCE_S)[0], "nothing came to hang"
        assert stdout.readline() == b"held\n"

    def pull_out(self) -> None:
        """Be gone as a device is: whatever is asked from now on is an error at once. May be repeated."""
        process = self._the_process()
        process.kill()
        process.wait(30)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _the_process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "enter it first"
        return self._process


_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from tests.fakes.faulty_disk import main; main(*sys.argv[2:])"
