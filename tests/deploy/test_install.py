"""The installer, run for real into a folder (DESTDIR), without a network and without changing this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.config import load
from edge_agent.web.tokens import Role, read_tokens

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for folder in ("deploy", "tests") for path in (ROOT / folder).rglob("*.sh"))
TIMEOUT_S = 120


def run(
    *argv: str | Path, destination: Path | None = None, path: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "DESTDIR": str(destination or "")}
    environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Sources:
    """A project to install: our scripts and package, and an empty lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        shutil.copytree(ROOT / "edge_agent", folder / "edge_agent", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", folder)
        self.lock("# nothing\n")

    def lock(self, text: str) -> None:
        (self.folder / "requirements.lock").write_text(text)
        (self.folder / "requirements-offload.lock").write_text(text + "# and more\n")

    def version(self, text: str) -> None:
        (self.folder / "edge_agent/__init__.py").write_text(f'__version__ = "{text}"\n')

    def install(self, destination: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.folder / "deploy/install.sh", *arguments, destination=destination)


@pytest.fixture(scope="module")
def sources_once(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("project") / "some sources")


@pytest.fixture(scope="module")
def installed_once(sources_once: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    destination = tmp_path_factory.mktemp("installed") / "root"
    done = sources_once.install(destination)
    assert done.returncode == 0, done.stderr
    return destination


@pytest.fixture
def sources(sources_once: Sources, tmp_path: Path) -> Sources:
    """Sources that a test may change."""
    shutil.copytree(sources_once.folder, tmp_path / "sources")
    changed = object.__new__(Sources)
    changed.folder = tmp_path / "sources"
    return changed


@pytest.fixture
def destination(installed_once: Path, tmp_path: Path) -> Path:
    """An installation that a test may change."""
    shutil.copytree(installed_once, tmp_path / "root", symlinks=True)
    return tmp_path / "root"


def releases(destination: Path) -> list[str]:
    return sorted(path.name for path in (destination / "opt/edge-agent/releases").iterdir())


def current(destination: Path) -> Path:
    """The release that the service would start, within the folder."""
    return destination / (destination / "opt/edge-agent/venv").readlink().relative_to("/")


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:o}"


def test_everything_that_the_service_names_is_there_with_its_rights(installed_once: Path) -> None:
    root = installed_once
    unit = (root / "etc/systemd/system/edge-agent.service").read_text()
    assert "ExecStart=/opt/edge-agent/venv/bin/edge-agent run\n" in unit
    starter = (current(root) / "bin/edge-agent").read_text()
    assert starter.endswith('exec /opt/edge-agent/venv/bin/python -m edge_agent "$@"\n')
    assert {
        place: mode(root / place)
        for place in ("etc/edge-agent", "etc/edge-agent/edge-agent.toml", "var/lib/edge-agent", "opt/edge-agent")
    } == {
        "etc/edge-agent": "750",
        "etc/edge-agent/edge-agent.toml": "640",
        "var/lib/edge-agent": "750",
        "opt/edge-agent": "755",
    }
    assert mode(current(root) / "bin/edge-agent") == mode(root / "usr/local/bin/edge-agent") == "755"
    wanted = root / "etc/systemd/system/multi-user.target.wants/edge-agent.service"
    assert str(wanted.readlink()) == "/etc/systemd/system/edge-agent.service"
    others_may_write = [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert others_may_write == []
    subprocess.run(["sh", "-n", root / "usr/local/bin/edge-agent"], check=True, timeout=20)


def test_the_installed_agent_does_not_need_its_sources(installed_once: Path) -> None:
    command = [str(current(installed_once) / "bin/python"), "-I", "-c", "import edge_agent; print(edge_agent.__file__)"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(str(current(installed_once)))


def test_the_command_of_root_leaves_a_folder_that_the_services_user_cannot_get_to(
    installed_once: Path, tmp_path: Path
) -> None:
    """By the whole path: a folder may be open, and one above it shut, as the homes of people are."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "id").write_text("#!/bin/sh\necho 0\n")
    (stubs / "setpriv").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n[ "$5" != test ]\n')
    for program in stubs.iterdir():
        program.chmod(0o755)
    run(installed_once / "usr/local/bin/edge-agent", "check", path=str(stubs), cwd=tmp_path)
    asked, started = (tmp_path / "asked").read_text().splitlines()
    assert asked.endswith(f" test -x {tmp_path}")
    assert started.endswith(" /opt/edge-agent/venv/bin/edge-agent check")


def test_a_second_run_changes_nothing(sources_once: Sources, destination: Path) -> None:
    configuration = destination / "etc/edge-agent/edge-agent.toml"
    configuration.write_text("[device]\nid = 'mine'\n")
    before = releases(destination)
    done = sources_once.install(destination, "--simulated", "--open-page")
    assert done.returncode == 0, done.stderr
    assert "making" not in done.stderr
    assert releases(destination) == before
    assert configuration.read_text() == "[device]\nid = 'mine'\n"
    assert not (destination / "var/lib/edge-agent/tokens").exists()


def test_an_upgrade_keeps_the_release_before_and_no_older_one(sources: Sources, destination: Path) -> None:
    first = current(destination).name
    sources.version("8.0.0")
    assert sources.install(destination).returncode == 0
    second = current(destination).name
    assert releases(destination) == sorted({first, second})
    sources.version("9.0.0")
    done = sources.install(destination)
    assert "installed 9.0.0" in done.stderr
    assert releases(destination) == sorted({second, current(destination).name})


def test_what_sends_footage_is_installed_where_it_is_asked_for_and_upgrades_keep_it(
    sources: Sources, destination: Path
) -> None:
    without = current(destination).name
    assert sources.install(destination, "--offload").returncode == 0
    with_it = current(destination).name
    assert with_it != without, "from another lock"
    assert sources.install(destination).returncode == 0
    assert current(destination).name == with_it


def test_an_upgrade_that_fails_leaves_what_runs(sources: Sources, destination: Path) -> None:
    before = current(destination)
    sources.lock("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    done = sources.install(destination)
    assert done.returncode == 1
    assert "could not install requirements.lock" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert current(destination) == before
    sources.lock("# nothing\n")
    assert sources.install(destination).returncode == 0
    assert releases(destination) == [before.name]


def test_a_new_configuration_may_take_simulated_cameras_and_open_the_page(
    sources_once: Sources, destination: Path
) -> None:
    configuration = destination / "etc/edge-agent/edge-agent.toml"
    assert load(configuration, {}).rpicam.command == "rpicam-vid"
    configuration.unlink()
    done = sources_once.install(destination, "--simulated", "--open-page")
    config = load(configuration, {})
    assert (config.rpicam.command, config.web.host) == ("simulated", "0.0.0.0")  # noqa: S104 - read, not bound
    assert config.web.tokens_file == Path("/var/lib/edge-agent/tokens")
    tokens = destination / "var/lib/edge-agent/tokens"
    assert mode(tokens) == "600"
    shown = re.search(r"shown this once \(user name: any\): (\S+)$", done.stderr, flags=re.MULTILINE)
    assert shown is not None
    found = read_tokens(tokens).find(shown[1])
    assert found is not None
    assert (found.role, found.digest) == (Role.OPERATOR, hashlib.sha256(shown[1].encode()).digest())


def test_uninstalling_keeps_configuration_and_footage_until_it_is_told_otherwise_twice(
    sources_once: Sources, destination: Path
) -> None:
    footage = destination / "var/lib/edge-agent/recordings/one.mp4"
    footage.parent.mkdir()
    footage.write_bytes(b"footage")
    refused = sources_once.install(destination, "--uninstall", "--purge")
    assert refused.returncode == 2
    assert "nothing was done" in refused.stderr
    assert current(destination).is_dir()

    for _ in range(2):
        assert sources_once.install(destination, "--uninstall").returncode == 0
        left = {str(path.relative_to(destination)) for path in destination.rglob("*") if path.is_file()}
        assert left == {"etc/edge-agent/edge-agent.toml", "var/lib/edge-agent/recordings/one.mp4"}
        links = [path for path in destination.rglob("*") if path.is_symlink()]
        assert links == []

    assert sources_once.install(destination, "--uninstall", "--purge", "--yes").returncode == 0
    assert not (destination / "etc/edge-agent").exists()
    assert not (destination / "var/lib/edge-agent").exists()


@pytest.mark.parametrize("arguments", [("--unknown",), ("--purge", "--yes"), ("extra",)])
def test_arguments_that_do_not_fit_get_the_help_and_change_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = run(ROOT / "deploy/install.sh", *arguments, destination=tmp_path)
    assert done.returncode == 2
    assert "--uninstall" in done.stderr
    assert "set -eu" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("--uninstall",)])
def test_without_root_it_says_so_and_does_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = run(ROOT / "deploy/install.sh", *arguments, path=str(tmp_path))
    assert done.returncode == 1
    assert "needs root: sudo deploy/install.sh" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_plain_sh(script: Path) -> None:
    assert script.read_text().startswith(("#!/bin/sh\n", "# Sourced by "))
    subprocess.run([shutil.which("dash") or "sh", "-n", script], check=True, timeout=20)
    done = run("shellcheck", "--external-sources", script, cwd=ROOT)
    assert done.returncode == 0, done.stdout
