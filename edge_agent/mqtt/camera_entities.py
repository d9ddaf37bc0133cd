"""What Home Assistant shows of one camera."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edge_agent.core.model import Camera, CameraState
from edge_agent.mqtt.component import (
    DIAGNOSTIC,
    MBPS,
    Component,
    Device,
    attributes,
    figure,
    number,
    of_camera,
    one_of,
    sensor,
    text,
)
from edge_agent.mqtt.topics import CameraKind, DeviceKind

UNNAMED = re.compile(r"cam(\d+)")
"""A camera that nobody has given a name has its id for one, such as cam0."""


def camera_components(device: Device, camera: Camera) -> dict[str, Component]:
    """One camera's components.

    What tells of trouble depends on the agent alone; pictures and figures are unavailable while the camera is. None is
    disabled by default: a disabled entity does not go with its camera, only with the whole device.
    """
    both = [
        {"topic": device.topic(DeviceKind.AVAILABILITY)},
        {"topic": device.camera_topic(camera.id, CameraKind.AVAILABILITY)},
    ]
    needs_camera: Component = {"availability": both, "availability_mode": "all"}
    title = _title(device, camera)
    found = _camera_state(device, camera.id, title) | {
        f"{camera.id}_{kind}": component | needs_camera
        for kind, component in _camera_figures(device, camera.id, title).items()
    }
    jpeg: Component = {"platform": "image", "content_type": "image/jpeg", "name": f"{title} snapshot"}
    found[f"{camera.id}_snapshot"] = jpeg | {"image_topic": device.camera_topic(camera.id, CameraKind.SNAPSHOT)}
    if device.previews:
        preview: Component = {"platform": "camera", "name": f"{title} preview"}
        preview["topic"] = device.camera_topic(camera.id, CameraKind.PREVIEW)
        found[f"{camera.id}_preview"] = preview | needs_camera
    return found


def _camera_state(device: Device, camera: str, title: str) -> dict[str, Component]:
    status = device.topic(DeviceKind.STATUS)
    state, error = of_camera(camera, "state"), of_camera(camera, "error")
    troubled = f"{error} | default(none) is not none or {one_of(state, (CameraState.BACKOFF, CameraState.FATAL))}"
    return {
        f"{camera}_running": {
            "platform": "binary_sensor",
            "name": f"{title} running",
            "device_class": "running",
            "state_topic": status,
            "value_template": f"{{{{ 'ON' if {state} == 'running' else 'OFF' }}}}",
        },
        f"{camera}_problem": {
            "platform": "binary_sensor",
            "name": f"{title} problem",
            "device_class": "problem",
            "state_topic": status,
            "value_template": f"{{{{ 'ON' if {troubled} else 'OFF' }}}}",
            "json_attributes_topic": status,
            "json_attributes_template": attributes(reason=error),
        },
        f"{camera}_state": sensor(
            status,
            f"{title} state",
            text(state),
            device_class="enum",
            options=list(CameraState),
            icon="mdi:state-machine",
            **DIAGNOSTIC,
        ),
        f"{camera}_segment": sensor(
            status,
            f"{title} segment",
            f"{{{{ {of_camera(camera, 'segment')} | default(none) or 'none' }}}}",
            icon="mdi:filmstrip",
            **DIAGNOSTIC,
        ),
    }


def _camera_figures(device: Device, camera: str, title: str) -> dict[str, Component]:
    def shown(name: str, key: str, divisor: float, digits: int, *kinds: Mapping[str, Any], **more: Any) -> Component:
        return figure(device, f"{title} {name}", number(of_camera(camera, key), divisor, digits), *kinds, **more)

    fps = {"unit_of_measurement": "fps", "suggested_display_precision": 1, "icon": "mdi:speedometer"}
    return {
        "fps": shown("frame rate", "fps", 1, 1, fps),
        "bitrate": shown("bit rate", "bitrate_bps", 1e6, 2, MBPS),
        "viewers": shown("viewers", "viewers", 1, 0, icon="mdi:account-eye"),
    }


def _title(device: Device, camera: Camera) -> str:
    """What a camera's entities begin with: not with the device's name, which is shown before it anyway."""
    numbered = UNNAMED.fullmatch(camera.name)
    title = f"Camera {numbered[1]}" if numbered else camera.name[:1].upper() + camera.name[1:]
    words, others = title.casefold().split(), device.name.casefold().split()
    return f"Camera {title}" if words[: len(others)] == others else title
