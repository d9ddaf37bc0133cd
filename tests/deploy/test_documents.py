"""What the deployment's documents name is there, and their commands do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["deploy/README.md", "deploy/security.md"]


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_and_every_named_file_is_there(document: str) -> None:
    text = text_of(document)
    links = [(ROOT / document).parent / link for link in re.findall(r"\]\(([^)#\s:]+)\)", text)]
    named = [ROOT / name for name in re.findall(r"\b((?:tests|deploy)/[\w./-]*[\w/])", text)]
    assert named
    assert [str(path) for path in (*links, *named) if not path.exists()] == []


def test_every_place_in_the_page_that_is_linked_is_a_heading() -> None:
    text = text_of("deploy/README.md")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) - headings == set()


def test_every_option_of_the_installer_that_is_named_is_one() -> None:
    script = (ROOT / "deploy/install.sh").read_text()
    options = {
        option
        for line in re.findall(r"install\.sh[^`\n]*|`--[a-z -]+`", text_of("deploy/README.md"))
        for option in re.findall(r"--[a-z][a-z-]+", line)
    } - {"--build-arg"}
    assert options >= {"--open-page", "--simulated", "--uninstall", "--purge", "--yes"}
    assert {option for option in options if f"    {option}) " not in script} == set()


def test_the_off_load_recipe_takes_locked_footage_alone(tmp_path: Path) -> None:
    """By its own words, with a copier that writes down what it shall copy; with rsync too where that is installed."""
    (line,) = [line for line in text_of("deploy/README.md").splitlines() if "| rsync " in line]
    archive = tmp_path / "recordings"
    folder = archive / "640x480" / "cam0"
    folder.mkdir(parents=True)
    for name in ("one.mp4", "one.lock", "two.mp4", "three.mp4", "three.lock"):
        (folder / name).write_text(name)
    listed = line.split("| rsync")[0]
    done = subprocess.run(["sh", "-c", listed], cwd=archive, check=True, capture_output=True, text=True, timeout=20)
    assert sorted(done.stdout.split()) == ["./640x480/cam0/one.mp4", "./640x480/cam0/three.mp4"]
    if shutil.which("rsync") is not None:
        here = line.replace("backup:van7/", f"{tmp_path}/copy/")
        subprocess.run(["sh", "-c", here], cwd=archive, check=True, capture_output=True, timeout=30)
        copied = sorted(path.name for path in (tmp_path / "copy").rglob("*") if path.is_file())
        assert copied == ["one.mp4", "three.mp4"]
