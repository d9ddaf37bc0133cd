"""What this machine says of itself: its model and its serial number, where it tells."""

from __future__ import annotations

from pathlib import Path

DEVICE_TREE = Path("/proc/device-tree")


def machine_model(device_tree: Path = DEVICE_TREE) -> str | None:
    """The board, such as `Raspberry Pi 5 Model B Rev 1.0`; None on machines without a device tree."""
    return _property(device_tree / "model")


def machine_serial(device_tree: Path = DEVICE_TREE) -> str | None:
    """The board's serial number; None where there is none."""
    return _property(device_tree / "serial-number")


def _property(path: Path) -> str | None:
    try:
        text = path.read_bytes().rstrip(b"\0").decode("utf-8", "replace").strip()
    except OSError:
        return None
    return text or None
