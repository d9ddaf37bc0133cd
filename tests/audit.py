"""Looks the locked packages up among the known vulnerabilities: `python -m tests.audit [--strict]`.

Fails where one is known. A package that nobody could tell about, because the network or the index does not answer, is
named and fails with `--strict` only: a change must not wait for somebody else's service.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = "requirements-offload.lock"
"""All that can come to be installed on a device."""
PATIENCE_S = 60


@dataclass
class Findings:
    """What is known: `vulnerable` with what is wrong and what mends it, `unknown` of which nobody told anything."""

    vulnerable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    clean: int = 0

    def told(self) -> str:
        lines = [f"audit: vulnerable: {one}" for one in self.vulnerable]
        if self.unknown:
            lines.append(f"audit: NOT LOOKED UP, the index has no answer: {', '.join(self.unknown)}")
        lines.append(f"audit: {self.clean} packages of {LOCK} without a known vulnerability")
        return "\n".join(lines)


def findings(document: dict[str, Any]) -> Findings:
    """Read what `pip-audit --format json` says."""
    found = Findings()
    for package in document["dependencies"]:
        if "skip_reason" in package:
            found.unknown.append(package["name"])
            continue
        for one in package["vulns"]:
            mended = f"mended in {', '.join(one['fix_versions'])}" if one["fix_versions"] else "not mended yet"
            found.vulnerable.append(f"{package['name']} {package['version']}: {one['id']}, {mended}")
        found.clean += not package["vulns"]
    return found


def look_up(lock: Path) -> Findings:
    """Ask pip-audit, which asks the index that the packages come from."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", str(lock)]
    try:
        done = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return findings(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        names = re.findall(r"^([a-z0-9-]+)==", lock.read_text(), flags=re.MULTILINE)
        return Findings(unknown=sorted(set(names)))


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m tests.audit", description=__doc__)
    options.add_argument("--strict", action="store_true", help="fail too where a package could not be looked up")
    strict = options.parse_args(arguments).strict
    found = look_up(ROOT / LOCK)
    print(found.told())
    return 1 if found.vulnerable or (strict and found.unknown) else 0


if __name__ == "__main__":
    sys.exit(main())
