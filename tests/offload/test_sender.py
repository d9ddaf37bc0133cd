"""The sender as the agent starts it, in front of a real store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.offload.orders import (
    Destination,
    Order,
    Progress,
    Refused,
    Stored,
    Told,
    Unreadable,
    line_of,
    read_told,
)
from edge_agent.offload.store import MIB, MOST_PARTS, PART_BYTES, etag_of, name_beside, part_size, pieces
from tests.fakes.agent import PATIENCE_S, eventually
from tests.fakes.mosquitto import Certificates, free_port
from tests.fakes.object_store import BUCKET, REGION, ObjectStore

pytestmark = pytest.mark.slow

Start = Callable[[Destination], "Sender"]


class Sender:
    """One life of the program."""

    def __init__(self, destination: Destination) -> None:
        command = [sys.executable, "-m", "edge_agent.offload.sender"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sent_bytes = 0
        self.tell(line_of(destination))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hear(self) -> Told | None:
        """The next that is no progress; None when it has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = read_told(line)
            if not isinstance(told, Progress):
                return told
            self.sent_bytes += told.sent_bytes
        return None

    def send(self, path: Path, key: str) -> Told | None:
        self.tell(line_of(Order(str(path), key)))
        return self.hear()

    def store(self, path: Path, key: str) -> Stored:
        """Send what has to arrive."""
        told = self.send(path, key)
        assert isinstance(told, Stored), told
        return told

    def end(self) -> int:
        """Close its stdin; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start senders; none survives the test."""
    with ExitStack() as stack:

        def started(destination: Destination) -> Sender:
            sender = Sender(destination)
            stack.enter_context(sender.process)
            stack.callback(sender.process.kill)
            return sender

        yield started


@pytest.fixture
def destination(object_store: ObjectStore, key: str) -> Destination:
    user = object_store.access_key, object_store.secret_key
    return Destination(object_store.url, BUCKET, key.partition("/")[0], REGION, *user, None, None)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A name that no other test has."""
    return f"{re.sub('[^a-z]+', '-', request.node.name)}/clips/a.mp4"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two parts."""
    path = tmp_path / "a.mp4"
    path.write_bytes(os.urandom(PART_BYTES + 1000))
    return path


def uploads(store: ObjectStore, key: str) -> list[str]:
    """What changed this object or brought some of it, in order: `begin`, `part N`, `complete`."""
    told = []
    for line in store.requests():
        method, path, status = line.split()
        part = re.search(r"partNumber=(\d+)", path)
        if path.split("?")[0] != f"/{BUCKET}/{key}" or status != "200":
            continue
        if part and method == "PUT":
            told.append(f"part {part[1]}")
        elif method == "POST":
            told.append("begin" if path.endswith("?uploads") else "complete")
    return told


def test_a_file_arrives_whole_every_byte_is_counted_and_recording_goes_first(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    sender = start(destination)
    stored = sender.store(file, key)
    assert stored.key == key
    assert stored.etag.endswith("-2")
    assert object_store.content(key) == file.read_bytes()
    assert sender.sent_bytes == file.stat().st_size
    assert uploads(object_store, key) == ["begin", "part 1", "part 2", "complete"]
    assert os.getpriority(os.PRIO_PROCESS, sender.process.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert sender.end() == 0


def test_what_is_there_already_is_not_sent_again(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    first = start(destination).store(file, key)
    again = start(destination)
    assert again.store(file, key) == first
    assert again.sent_bytes == 0
    assert uploads(object_store, key).count("complete") == 1


def test_nothing_is_overwritten(
    start: Start, object_store: ObjectStore, destination: Destination, tmp_path: Path, key: str
) -> None:
    """A device that lost its clock and its archive gives the same names to other footage."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"first")
    sender = start(destination)
    sender.send(path, key)
    path.write_bytes(b"other")
    for _ in range(2):
        stored = sender.store(path, key)
        assert re.fullmatch(re.escape(key.removesuffix(".mp4")) + r"\.[0-9a-f]{8}\.mp4", stored.key)
    assert (object_store.content(key), object_store.content(stored.key)) == (b"first", b"other")
    assert uploads(object_store, stored.key).count("complete") == 1


def test_a_sender_that_is_killed_in_the_middle_is_gone_on_with(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    object_store.fault(hold=f"{key}.*partNumber=2")
    first = start(destination)
    first.tell(line_of(Order(str(file), key)))
    eventually(lambda: any(key in line for line in object_store.held()), "the second part on its way")
    first.process.kill()
    first.process.wait(PATIENCE_S)
    object_store.fault()
    second = start(destination)
    second.store(file, key)
    assert object_store.content(key) == file.read_bytes()
    done = uploads(object_store, key)
    assert (done.count("begin"), done.count("part 1"), done.count("complete")) == (1, 1, 1)
    assert second.sent_bytes <= file.stat().st_size - PART_BYTES
    asked = f"GET /{BUCKET}?uploads&prefix={quote(key, safe='')}"
    assert any(line.startswith((f"{asked}&", f"{asked} ")) for line in object_store.requests()), (
        "by the whole name, as MinIO wants it"
    )


def test_a_part_that_is_not_the_files_is_sent_again(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    client = object_store.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * PART_BYTES)
    start(destination).store(file, key)
    assert object_store.content(key) == file.read_bytes()
    assert uploads(object_store, key).count("begin") == 1


def test_an_upload_that_the_store_forgot_is_begun_again(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    client = object_store.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    object_store.fault(hold=f"GET .*{key}.*uploadId=")
    sender = start(destination)
    sender.tell(line_of(Order(str(file), key)))
    eventually(lambda: any(key in line for line in object_store.held()), "the question for its parts")
    client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)
    object_store.fault()
    assert isinstance(sender.hear(), Stored)
    assert object_store.content(key) == file.read_bytes()


def test_over_tls_it_sends_to_whom_its_authority_signed_and_to_nobody_else(
    start: Start, certificates: Certificates, file: Path, tmp_path: Path
) -> None:
    with ObjectStore(tmp_path / "store", certificates) as store:
        user = store.access_key, store.secret_key
        trusting = Destination(store.url, BUCKET, "van7/", REGION, *user, str(certificates.ca), None)
        sender = start(trusting)
        stored = sender.store(file, "van7/a.mp4")
        assert store.content(stored.key) == file.read_bytes()
        assert sender.sent_bytes == file.stat().st_size
        refused = start(replace(trusting, ca_file=str(certificates.other_ca))).hear()
        assert isinstance(refused, Refused)
        assert "certificate verify failed" in refused.reason
        missing = start(replace(trusting, ca_file="/nowhere.pem")).hear()
        assert isinstance(missing, Refused)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"secret_key": "guessed"}, "offload.secret_key_file"),
        ({"access_key": "AKIAIOSFODNN7EXAMPLE"}, "offload.access_key"),
        ({"bucket": "nobodys"}, "offload.bucket"),
        ({"endpoint_url": f"http://127.0.0.1:{free_port()}"}, "cannot be reached"),
        ({"endpoint_url": "http://127.0.0.1:x"}, "cannot be reached"),
    ],
    ids=["secret", "access key", "bucket", "nobody listens", "no address"],
)
def test_what_is_wrong_with_the_destination_is_said_with_what_to_do(
    start: Start, destination: Destination, wrong: dict[str, str], advice: str
) -> None:
    sender = start(Destination(**{**asdict(destination), **wrong}))
    refused = sender.hear()
    assert isinstance(refused, Refused)
    assert advice in refused.reason
    assert destination.secret_key not in refused.reason
    assert sender.end() == 1


def test_a_store_that_fails_in_the_middle_ends_the_sender_with_its_reason(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str
) -> None:
    object_store.fault(refuse=f"{key}.*partNumber=2")
    sender = start(destination)
    refused = sender.send(file, key)
    assert isinstance(refused, Refused)
    assert "500" in refused.reason
    assert sender.hear() is None
    assert sender.process.wait(PATIENCE_S) == 1
    assert object_store.names(key) == []


def test_a_file_that_cannot_be_read_is_named_and_the_next_one_is_sent(
    start: Start, object_store: ObjectStore, destination: Destination, file: Path, key: str, tmp_path: Path
) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(file)
    sender = start(destination)
    assert isinstance(sender.send(tmp_path / "gone.mp4", f"{key}.gone"), Unreadable)
    assert isinstance(sender.send(link, f"{key}.link"), Unreadable), "what a link names was not recorded"
    sender.store(file, key)


def test_it_is_never_faster_than_it_may_be(start: Start, destination: Destination, tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(os.urandom(100_000))
    sender = start(replace(destination, max_bps=1_000_000))
    began_s = time.monotonic()
    sender.store(path, key)
    assert time.monotonic() - began_s >= (100_000 - 16_384) * 8 / 1_000_000


def test_a_parent_that_makes_no_sense_is_left(start: Start) -> None:
    command = [sys.executable, "-m", "edge_agent.offload.sender"]
    done = subprocess.run(command, input="hello\n", text=True, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "no destination" in done.stderr


@given(st.integers(0, 5 * 1024**4))
def test_a_file_of_any_size_has_parts_that_a_store_takes(size_bytes: int) -> None:
    part_bytes = part_size(size_bytes)
    assert part_bytes >= PART_BYTES
    assert part_bytes % MIB == 0
    assert -(-size_bytes // part_bytes) <= MOST_PARTS


@pytest.mark.parametrize("content", [b"", b"x", b"xy", b"xyz"])
def test_parts_are_all_of_a_file_and_at_least_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with path.open("rb") as opened:
        parts = list(pieces(opened, 2))
        assert parts == list(pieces(opened, 2)), "from the beginning each time"
    assert b"".join(parts) == content
    assert len(parts) == max(1, -(-len(content) // 2))


def test_the_name_beside_keeps_folder_and_ending() -> None:
    etag = etag_of(iter([b"abc"]))
    assert name_beside("van7/clips/a.mp4", etag) == f"van7/clips/a.{etag[:8]}.mp4"
