"""The two scripts, run for real in a copy of what they need, without a network and without changing this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A project in a folder with a space in its name: our scripts, an empty lock, an agent that tells its arguments."""
    root = tmp_path / "some sources"
    shutil.copytree(ROOT / "deploy", root / "deploy")
    (root / "requirements.lock").write_text("# nothing\n")
    (root / "pyproject.toml").write_text("")
    (root / "edge_agent").mkdir()
    (root / "edge_agent" / "__main__.py").write_text("import os, sys\nprint(os.getcwd(), *sys.argv[1:])\n")
    return root


def stub(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)


def run(*argv: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1"}
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
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


def call(sources: Path, line: str, stubs: Path) -> subprocess.CompletedProcess[str]:
    """Run one line with the functions of the shared part."""
    script = f'set -eu; root=$(pwd); . "$root/deploy/provision.sh"; {line}'
    return run("sh", "-c", script, cwd=sources, path=stubs)


def test_the_first_run_makes_the_environment_and_the_second_only_starts(sources: Path, tmp_path: Path) -> None:
    first = run(sources / "deploy/run.sh", "--config", "my file.toml", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{tmp_path} run --config my file.toml\n"
    assert "making a virtual environment" in first.stderr
    second = run(sources / "deploy/run.sh", cwd=tmp_path)
    assert (second.stdout, second.stderr) == (f"{tmp_path} run\n", "")
    command = run(sources / ".venv/bin/edge-agent", "check", cwd=tmp_path)
    assert command.stdout == f"{tmp_path} check\n"

    (sources / "requirements.lock").write_text("# something else\n")
    changed = run(sources / "deploy/run.sh", cwd=tmp_path)
    assert "installing the Python packages" in changed.stderr
    assert "making a virtual environment" not in changed.stderr

    (sources / "requirements.lock").write_text("no-such-package==1.0 --hash=sha256:" + "0" * 64 + "\n")
    failed = run(sources / "deploy/run.sh", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "could not install requirements.lock" in failed.stderr


def test_an_environment_of_another_place_is_made_anew(sources: Path, tmp_path: Path) -> None:
    run(sources / "deploy/run.sh", cwd=tmp_path)
    moved = sources.rename(tmp_path / "moved")
    again = run(moved / "deploy/run.sh", cwd=tmp_path)
    assert again.stdout == f"{tmp_path} run\n"
    assert "making a virtual environment" in again.stderr


def test_nothing_is_installed_where_nothing_is_missing(sources: Path, tmp_path: Path) -> None:
    stub(tmp_path / "stubs", "apt-get", "exit 1")
    done = call(sources, "require sh=dash cat=coreutils", tmp_path / "stubs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_user_without_rights_is_told_what_to_install(sources: Path, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stub(stubs, "id", "echo 1000")
    stub(stubs, "sudo", "exit 1")
    stub(stubs, "apt-get", "echo called")
    done = call(sources, "require no-such-one=one sh=dash no-such-two=two", stubs)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "sudo apt-get install one two" in done.stderr


@pytest.mark.parametrize("user", [0, 1000])
def test_what_is_missing_is_installed_in_one_go_where_it_may_be(sources: Path, tmp_path: Path, user: int) -> None:
    """As root, or by a sudo that asks no password."""
    stubs = tmp_path / "stubs"
    log = tmp_path / "log"
    stub(stubs, "id", f"echo {user}")
    stub(stubs, "sudo", f'echo "sudo $1" >>{log}', "shift", 'exec "$@"')
    stub(stubs, "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{log}')
    done = call(sources, "require no-such-one=one no-such-two=two", stubs)
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("sudo")] == [
        "noninteractive update -qq",
        "noninteractive install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 one two",
    ]
    assert ("sudo -n" in lines) == (user != 0)


def test_a_python_without_venv_is_named_with_the_rest(sources: Path, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stub(stubs, "id", "echo 1000")
    stub(stubs, "sudo", "exit 1")
    stub(stubs, "python3", "case $2 in *ensurepip*) exit 1 ;; esac")
    done = call(sources, "require no-such-one=one", stubs)
    assert "sudo apt-get install one python3-venv" in done.stderr


def test_a_failed_installation_ends_the_script(sources: Path, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stub(stubs, "id", "echo 0")
    stub(stubs, "apt-get", "exit 100")
    done = call(sources, "require no-such-one=one; echo went on", stubs)
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not install one" in done.stderr


def test_an_old_python_is_named_with_what_is_needed(sources: Path, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        stub(stubs, name, 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    done = call(sources, 'find_python; echo "$python"', stubs)
    # A system whose own /usr/bin/python3 is new enough takes that one instead.
    if done.returncode == 0:
        assert done.stdout == "/usr/bin/python3\n"
    else:
        assert "3.11 or newer" in done.stderr
        assert "3.9.2" in done.stderr
