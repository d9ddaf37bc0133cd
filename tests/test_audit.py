"""The audit of the locked packages, and the list of them that others can read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit import LOCK, Findings, findings, look_up

ROOT = Path(__file__).parents[1]
LOCKED = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / LOCK).read_text(), flags=re.MULTILINE))


def test_a_known_vulnerability_is_named_with_what_mends_it() -> None:
    vulns = [
        {"id": "PYSEC-1", "fix_versions": ["2.0", "1.9.1"], "aliases": [], "description": ""},
        {"id": "PYSEC-2", "fix_versions": [], "aliases": [], "description": ""},
    ]
    found = findings(
        {
            "dependencies": [
                {"name": "one", "version": "1.0", "vulns": vulns},
                {"name": "two", "version": "1.0", "vulns": []},
                {"name": "three", "skip_reason": "not found"},
            ],
            "fixes": [],
        }
    )
    assert found == Findings(
        ["one 1.0: PYSEC-1, mended in 2.0, 1.9.1", "one 1.0: PYSEC-2, not mended yet"], ["three"], clean=1
    )
    assert "NOT LOOKED UP, the index has no answer: three" in found.told()


def test_without_a_network_every_package_is_named_as_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    found = look_up(ROOT / LOCK)
    assert (set(found.unknown), found.vulnerable, found.clean) == (LOCKED, [], 0)


def test_the_bill_of_materials_has_every_locked_package_with_its_hashes() -> None:
    (line,) = re.findall(r"^\S*cyclonedx-py (.+?) -o", (ROOT / "deploy/security.md").read_text(), flags=re.MULTILINE)
    command = [sys.executable, "-m", "cyclonedx_py", *line.split()]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
    components = json.loads(done.stdout)["components"]
    assert {one["name"] for one in components} == LOCKED
    assert all(reference["hashes"] for one in components for reference in one["externalReferences"])
