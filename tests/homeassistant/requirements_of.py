"""Prints the packages that integrations of an installed Home Assistant need, with those of what they depend on.

A program for the interpreter that has Home Assistant: `python requirements_of.py INTEGRATION...`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


def requirements(components: Path, wanted: Iterable[str]) -> list[str]:
    """The requirements of `wanted` and their dependencies, from the manifests below `components`."""
    open_ones, seen, found = list(wanted), set(), set()
    while open_ones:
        name = open_ones.pop()
        if name not in seen:
            seen.add(name)
            manifest = json.loads((components / name / "manifest.json").read_text("utf-8"))
            found.update(manifest.get("requirements", []))
            open_ones += manifest.get("dependencies", [])
    return sorted(found)


if __name__ == "__main__":
    spec = find_spec("homeassistant")
    if spec is None or spec.origin is None:
        sys.exit("Home Assistant is not installed here")
    print(*requirements(Path(spec.origin).parent / "components", sys.argv[1:]), sep="\n")
