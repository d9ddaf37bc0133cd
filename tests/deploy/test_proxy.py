"""The reverse proxies' examples in front of a real agent: they must not delay frames, break WebSockets or lose names.

Where nginx or Caddy is not installed its example is only read: they are nothing that the agent needs.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from tests.fakes.agent import RunningAgent, eventually, instant
from tests.fakes.mosquitto import Mosquitto, free_port

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "deploy" / "proxy"
NAME = "van7.example"
TOKEN = "a token of sixteen or more".replace(" ", "-")
BASIC = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()
TIMEOUT_S = 30
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture(scope="module")
def agent_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An agent as the examples expect it: on loopback, with tokens."""
    directory = tmp_path_factory.mktemp("proxied")
    tokens = directory / "tokens"
    tokens.write_text(f"operator me {TOKEN}\n")
    tokens.chmod(0o600)
    port = free_port()
    with (
        Mosquitto(directory / "broker") as broker,
        RunningAgent(
            directory / "van7",
            broker,
            rpicam__command="simulated",
            web__port=port,
            web__tokens_file=tokens,
            telemetry__interval_s=1,
        ) as agent,
    ):
        agent.start()
        yield port


@contextmanager
def nginx(directory: Path, upstream: int, port: int) -> Iterator[None]:
    program = shutil.which("nginx", path=_PATH)
    assert program is not None
    example = (EXAMPLES / "nginx.conf").read_text()
    site = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", example)
    site = re.sub(r"listen \[::\]:443 ssl;|ssl_certificate\S* .*;", "", site)
    site = site.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off;\npid {directory}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}\n{site}\n}}\n"
    )
    with running([program, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"], port, directory):
        yield


@contextmanager
def caddy(directory: Path, upstream: int, port: int) -> Iterator[None]:
    program = shutil.which("caddy", path=_PATH)
    assert program is not None
    site = (EXAMPLES / "Caddyfile").read_text().replace("127.0.0.1:8080", f"127.0.0.1:{upstream}")
    site = re.sub(rf"^{re.escape(NAME)} ", f"http://{NAME}:{port} ", site, flags=re.MULTILINE)
    (directory / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
    command = [program, "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]
    with running(command, port, directory):
        yield


@contextmanager
def running(command: list[str], port: int, directory: Path) -> Iterator[None]:
    log = directory / "log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env={"HOME": str(directory), "PATH": _PATH}
        )
    try:
        eventually(lambda: process.poll() is not None or listens(port), f"a proxy: {log.read_text()}")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module", params=PROXIES)
def proxy_port(
    request: pytest.FixtureRequest, agent_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Where the page is to be found through each of the proxies; directly where the proxy is not installed."""
    name: str = request.param
    if shutil.which(name, path=_PATH) is None:
        yield agent_port
        return
    port = free_port()
    with PROXIES[name](tmp_path_factory.mktemp(name), agent_port, port):
        yield port


@contextmanager
def get(port: int, path: str, *, authorization: str = BASIC, **headers: str) -> Iterator[HTTPResponse]:
    """An answer whose body is still to be read."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", path, headers={"Host": f"{NAME}:{port}", "Authorization": authorization, **headers})
        with connection.getresponse() as answer:
            yield answer


def test_live_pictures_arrive_one_by_one(proxy_port: int) -> None:
    with get(proxy_port, "/stream/cam0?fps=1") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        for _ in range(2):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += answer.read(1)
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None, head
            picture = answer.read(int(length[1]))
            assert picture.startswith(b"\xff\xd8")
            assert answer.read(2) == b"\r\n"
            taken_at = re.search(rb"X-Timestamp: (\S+)", head)
            assert taken_at is not None, head
            assert time.time() - instant(taken_at[1].decode()).timestamp() < 5


def test_a_slow_viewer_misses_pictures_instead_of_seeing_old_ones(agent_port: int, proxy_port: int) -> None:
    """The agent skips what a viewer has no time for; a proxy that buffers takes it all, and hands it out late."""

    def dropped() -> int:
        with get(agent_port, "/api/system/info") as answer:
            telemetry = json.load(answer)["telemetry"]
        count: int = telemetry["cameras"]["cam0"]["dropped_frames"] if telemetry else 0
        return count

    before = dropped()
    with get(proxy_port, "/stream/cam0") as answer:
        assert answer.status == 200  # and nothing more is read of it
        eventually(lambda: dropped() > before + 10, "pictures that are skipped")


def test_the_web_socket_says_the_status_at_once(proxy_port: int) -> None:
    with socket.create_connection(("127.0.0.1", proxy_port), timeout=TIMEOUT_S) as connection:
        lines = (
            "GET /api/live HTTP/1.1",
            f"Host: {NAME}:{proxy_port}",
            f"Origin: https://{NAME}:{proxy_port}",
            f"Authorization: {BASIC}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(b'sixteen bytes ok').decode()}",
        )
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        got = b""
        while b'"type":"status"' not in got.replace(b" ", b""):
            more = connection.recv(4096)
            assert more, got
            got += more
        assert got.startswith(b"HTTP/1.1 101 ")


def test_a_page_of_another_site_is_still_refused(proxy_port: int) -> None:
    with get(proxy_port, "/api/live", Origin="https://elsewhere.example", Upgrade="websocket") as answer:
        assert answer.status in (403, 426)


def test_credentials_are_passed_and_asked_for(proxy_port: int) -> None:
    with get(proxy_port, "/api/blackbox/status") as answer:
        assert answer.status == 200
    with get(proxy_port, "/api/blackbox/status", authorization="Bearer wrong-wrong-wrong-wrong") as answer:
        assert answer.status == 401
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_command_is_carried_out(proxy_port: int) -> None:
    connection = HTTPConnection("127.0.0.1", proxy_port, timeout=TIMEOUT_S)
    with closing(connection):
        headers = {"Host": f"{NAME}:{proxy_port}", "Authorization": BASIC, "Content-Type": "application/json"}
        connection.request("POST", "/api/blackbox/ping", body="{}", headers=headers)
        with connection.getresponse() as answer:
            assert answer.status == 200


@pytest.mark.parametrize("example", ["nginx.conf", "Caddyfile"])
def test_an_example_warns_of_leaving_out_the_tokens_and_buffers_nothing(example: str) -> None:
    text = (EXAMPLES / example).read_text()
    assert "web.tokens_file" in text
    assert "proxy_buffering off;" in text or "flush_interval -1" in text
    assert "127.0.0.1:8080" in text
