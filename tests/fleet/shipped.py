"""The broker of deploy/fleet as it is shipped, but for its port and the place of its files."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.fakes.mosquitto import Mosquitto, free_port

FLEET = Path(__file__).parents[2] / "deploy" / "fleet"
INSTALLED = "/etc/mosquitto/fleet"


class ShippedBroker(Mosquitto):
    """mosquitto by deploy/fleet/mosquitto.conf; `users` are enrolled by deploy/fleet/enroll.sh."""

    def __init__(self, directory: Path, users: Iterable[str]) -> None:
        super().__init__(directory)
        directory.mkdir(parents=True)
        shutil.copy(FLEET / "acl", directory / "acl")
        (directory / "acl").chmod(0o600)
        run(FLEET / "certificates.sh", "localhost", directory)
        for user in users:
            run(FLEET / "enroll.sh", user, directory)
        self.port = free_port()

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    def password(self, user: str) -> str:
        return (self.directory / f"{user}.password").read_text().strip()

    def _configuration(self) -> list[str]:
        lines = (FLEET / "mosquitto.conf").read_text().replace(INSTALLED, str(self.directory)).splitlines()
        lines = [line.replace("/var/lib/mosquitto/", f"{self.directory}/") for line in lines]
        assert "listener 8883" in lines
        lines[lines.index("listener 8883")] = f"listener {self.port}"
        # A broker that root starts becomes another user, which may not read the test's files.
        return [*lines, f"user {pwd.getpwuid(os.getuid()).pw_name}", "log_dest stderr", "log_type all"]


def run(script: Path, *arguments: str | Path) -> str:
    """Run a script of deploy/fleet and return what it wrote."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    done = subprocess.run(
        [script, *arguments], env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
