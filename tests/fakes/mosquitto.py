"""A real mosquitto on a free loopback port, for tests: plain, TLS, passwords and ACL, persistence, and the faults
that a broker can have (restart, kill, hang)."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
_READY_TIMEOUT_S = 20
_COMMAND_TIMEOUT_S = 30
_POLL_S = 0.01


def executable(name: str) -> str:
    """The path of a program of the mosquitto packages; Debian keeps the broker outside a plain user's PATH."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise AssertionError(f"{name} is missing: apt install mosquitto mosquitto-clients")
    return found


def free_port() -> int:
    """A loopback TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a broker and a client need for every TLS case: two authorities, and leaves of the first one."""

    ca: Path
    other_ca: Path
    server: KeyPair
    wrong_host: KeyPair
    expired: KeyPair
    client: KeyPair

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Make them with the openssl program; takes about 100 ms."""
        directory.mkdir(parents=True, exist_ok=True)
        authority = _authority(directory, "ca")
        local = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        return cls(
            ca=authority.cert,
            other_ca=_authority(directory, "other-ca").cert,
            server=_leaf(directory, "server", authority, local),
            wrong_host=_leaf(directory, "wrong-host", authority, "subjectAltName=DNS:broker.example"),
            expired=_leaf(directory, "expired", authority, local, days=-1),
            client=_leaf(directory, "client", authority, "extendedKeyUsage=clientAuth"),
        )


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)


def _authority(directory: Path, name: str) -> KeyPair:
    pair = KeyPair(directory / f"{name}.pem", directory / f"{name}.key")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key)
    _openssl("req", "-x509", *key, "-out", pair.cert, "-subj", f"/CN=Test {name}", "-days", "30")
    return pair


def _leaf(directory: Path, name: str, authority: KeyPair, extension: str, days: int = 30) -> KeyPair:
    pair = KeyPair(directory / f"{name}.pem", directory / f"{name}.key")
    request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    extensions.write_text(f"{extension}\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", pair.key)
    _openssl("req", *key, "-out", request, "-subj", f"/CN={name}")
    signer = ("-CA", authority.cert, "-CAkey", authority.key, "-CAcreateserial", "-extfile", extensions)
    _openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", pair.cert)
    return pair


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the broker shows, and whom it asks for a certificate (None: nobody)."""

    pair: KeyPair
    client_ca: Path | None = None


class Mosquitto:
    """A broker in `directory`. Starts with `start` or as a context manager; the port stays the same over restarts."""

    def __init__(
        self,
        directory: Path,
        *,
        tls: ServerTls | None = None,
        users: Mapping[str, str] | None = None,
        acl: str | None = None,
        persistence: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.host = "127.0.0.1"
        self.port = free_port()
        self.tls = tls
        self._users = users
        self._acl = acl
        self._persistence = persistence
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the broker of the latest start wrote."""
        return (self.directory / f"mosquitto.{self._starts}.log").read_text(errors="replace")

    def start(self) -> Self:
        """Start it and wait until it listens."""
        assert self._process is None, "the broker runs already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._starts += 1
        config = self.directory / "mosquitto.conf"
        config.write_text("\n".join(self._configuration()) + "\n")
        log_path = self.directory / f"mosquitto.{self._starts}.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [executable("mosquitto"), "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_for_words(" running")
        except AssertionError:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop it as systemd would; does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Let it die without a word; does nothing if it does not run."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start; without persistence nothing is remembered."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Let it read its password and ACL files again."""
        os.kill(self.pid, signal.SIGHUP)
        self._wait_for_words("Reloading config")

    def pause(self) -> None:
        """Let it hang with all its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a hanging broker go on."""
        os.kill(self.pid, signal.SIGCONT)

    def publish(self, topic: str, payload: str | bytes = "", *arguments: str, retain: bool = False) -> None:
        """Publish at QoS 1 with the mosquitto_pub that a user would type."""
        data = payload.encode() if isinstance(payload, str) else payload
        flags = [*(["-r"] if retain else []), *(["-s"] if data else ["-n"])]
        command = [*self.client("mosquitto_pub"), "-q", "1", "-t", topic, *flags, *arguments]
        subprocess.run(command, input=data, check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)

    def retained(self, topic_filter: str, *arguments: str, wait_s: int = 1) -> dict[str, str]:
        """The retained messages that a new subscriber gets within `wait_s`, as text by topic."""
        command = [*self.client("mosquitto_sub"), "-F", "%j", "-t", topic_filter, "-W", str(wait_s)]
        done = subprocess.run([*command, *arguments], check=False, capture_output=True, timeout=_COMMAND_TIMEOUT_S)
        found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        return {message["topic"]: message.get("payload", "") for message in found if message["retain"]}

    def client(self, program: str) -> list[str]:
        """The start of a mosquitto_pub, _sub or _rr command line that reaches this broker."""
        return [executable(program), "-h", self.host, "-p", str(self.port), "-V", "5"]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_for_words(self, words: str) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while words not in self.log:
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"mosquitto did not say {words!r}:\n{self.log}")
            time.sleep(_POLL_S)

    def _end(self, signal_number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal_number)
            process.send_signal(signal.SIGCONT)
        process.wait(_READY_TIMEOUT_S)

    def _configuration(self) -> list[str]:
        lines = [
            f"listener {self.port} {self.host}",
            f"user {pwd.getpwuid(os.getuid()).pw_name}",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type all",
            "connection_messages true",
        ]
        if self._persistence:
            lines += ["persistence true", f"persistence_location {self.directory}/", "autosave_interval 1"]
        if self._users is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self.directory / "passwords"
            passwords.unlink(missing_ok=True)
            passwords.touch(0o600)
            for user, password in self._users.items():
                command = [executable("mosquitto_passwd"), "-b", str(passwords), user, password]
                subprocess.run(command, check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if self._acl is not None:
            acl = self.directory / "acl"
            acl.write_text(self._acl)
            acl.chmod(0o600)
            lines.append(f"acl_file {acl}")
        if self.tls is not None:
            lines += [f"certfile {self.tls.pair.cert}", f"keyfile {self.tls.pair.key}"]
            if self.tls.client_ca is not None:
                lines += [f"cafile {self.tls.client_ca}", "require_certificate true"]
        return [*lines, *self._extra]


MakeMosquitto = Callable[..., Mosquitto]
"""Starts a broker with the keywords of `Mosquitto`."""
