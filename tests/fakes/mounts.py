"""A mount namespace of its own, in which volumes come and go, and which takes all of them along when it ends.

Needs root, or a kernel that lets users have namespaces of their own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

PATIENCE_S = 30.0


class Mounts:
    """Enter it as a context. What is mounted in it is seen through `seen` from outside."""

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None
        self._user = False

    def __enter__(self) -> Self:
        self._user = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0
        how = ["--user", "--map-root-user"] if self._user else []
        self._keeper = subprocess.Popen(
            ["unshare", *how, "--mount", "--propagation", "private", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(b"there\n")
        self._keeper.stdin.flush()
        assert self._keeper.stdout.readline() == b"there\n", "no mount namespace: root or user namespaces are needed"
        return self

    def __exit__(self, *_: object) -> None:
        keeper = self._the_keeper()
        keeper.kill()
        keeper.wait(PATIENCE_S)
        for stream in (keeper.stdin, keeper.stdout):
            if stream is not None:
                stream.close()

    @property
    def entrance(self) -> tuple[str, ...]:
        """What to put in front of a command that shall run in the namespace; it keeps its pid."""
        user = ["--user", "--preserve-credentials"] if self._user else []
        return ("nsenter", "--target", str(self._the_keeper().pid), *user, "--mount", "--")

    def seen(self, path: Path) -> Path:
        """A path of the namespace, as it is reached from outside."""
        return Path(f"/proc/{self._the_keeper().pid}/root") / path.relative_to("/")

    def run(self, *command: str | os.PathLike[str]) -> None:
        """Run a command in the namespace that has to succeed."""
        done = subprocess.run(
            [*self.entrance, *command], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def mount(self, folder: Path, *, size: str = "64m", inodes: int = 4000) -> None:
        """Mount a new volume in memory."""
        self.run("mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={inodes},mode=755", "none", folder)

    def unmount(self, folder: Path) -> None:
        """Take a volume away, whoever uses it; they keep what they have open."""
        self.run("umount", "--lazy", folder)

    def move(self, folder: Path, target: Path) -> None:
        """Have a volume somewhere else, so that it is missing where it was and can come back with what is on it."""
        target.mkdir(exist_ok=True)
        self.run("mount", "--move", folder, target)

    def read_only(self, folder: Path) -> None:
        """Turn a volume read-only under those who write to it."""
        self.run("mount", "-o", "remount,ro", folder)

    def writable(self, folder: Path) -> None:
        self.run("mount", "-o", "remount,rw", folder)

    def _the_keeper(self) -> subprocess.Popen[bytes]:
        assert self._keeper is not None, "enter it first"
        return self._keeper
