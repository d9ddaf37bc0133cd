"""Prints the packages that an installed Home Assistant would install at its first start, which needs a network.

A program for the interpreter that has Home Assistant: `python requirements_of.py INTEGRATION...` prints what those
integrations need, `python requirements_of.py` what those need that it always sets up and that nobody asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any


def requirements(components: Path, wanted: Iterable[str]) -> list[str]:
    """The requirements of `wanted` and of what is set up before them, from the manifests below `components`."""
    open_ones, seen, found = list(wanted), set(), set()
    while open_ones:
        name = open_ones.pop()
        if name not in seen:
            seen.add(name)
            manifest = _manifest(components / name)
            found.update(manifest.get("requirements", []))
            # Those that only come after_dependencies are imported all the same where they are part of Home Assistant.
            open_ones += [*manifest.get("dependencies", []), *manifest.get("after_dependencies", [])]
    return sorted(found)


def _manifest(component: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((component / "manifest.json").read_text("utf-8"))
    except FileNotFoundError:  # another version has it
        return {}
    return manifest


if __name__ == "__main__":
    bootstrap = import_module("homeassistant.bootstrap")
    places = Path(bootstrap.__file__ or "").parent / "components"
    print(*requirements(places, sys.argv[1:] or bootstrap.DEFAULT_INTEGRATIONS), sep="\n")
