"""What Home Assistant shows of a device: every entity and device trigger, where its value stands, how it is read.

Nothing that ticks is an attribute: each change of one is a row in the recorder's database.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from edge_agent.core.commands import Verb
from edge_agent.core.model import MAX_DURATION_S, DeviceState, EventType, Purpose
from edge_agent.core.problems import NOTES
from edge_agent.mqtt.camera_entities import camera_components
from edge_agent.mqtt.component import (
    DIAGNOSTIC,
    GB,
    MB,
    MBPS,
    PERCENT,
    RARELY,
    Component,
    Device,
    attributes,
    boolean,
    complete,
    figure,
    number,
    one_of,
    sensor,
    telemetry,
    text,
)
from edge_agent.mqtt.topics import DeviceKind

LOCKED_BACK = "5m"
"""What the lock button protects, counted back from now."""
TRIGGERS = (
    EventType.RECORDING_STARTED,
    EventType.RECORDING_STOPPED,
    EventType.SEGMENT_STORED,
    EventType.SNAPSHOT_TAKEN,
    EventType.CLIP_READY,
    EventType.CAMERA_FAULT,
    EventType.CAMERA_RECOVERED,
    EventType.STORAGE_LOW,
    EventType.STORAGE_FULL,
)


def components(device: Device) -> dict[str, Component]:
    """Every component by its key. Keys and unique ids are the same for ever: users' settings hang on them."""
    found = _controls(device) | _state(device) | _machine(device) | _storage(device) | _about(device)
    for camera in device.cameras:
        found |= camera_components(device, camera)
    found |= _events(device)
    return {key: complete(device, key, component) for key, component in found.items()}


def _controls(device: Device) -> dict[str, Component]:
    status: Component = {"state_topic": device.topic(DeviceKind.STATUS)}
    names = [mode.name for mode in device.modes]
    live = one_of("value_json.mode", (mode.name for mode in device.modes if mode.purpose is Purpose.LIVE))
    # In states that pass, a switch stays where it was; at fault it shows what is wanted, so that it can be turned off.
    recording = f"{{'recording': 'ON', 'fault': 'OFF' if {live} else 'ON', 'streaming': 'OFF', 'idle': 'OFF'}}"
    streaming = f"{{'streaming': 'ON', 'fault': 'ON' if {live} else 'OFF', 'recording': 'OFF', 'idle': 'OFF'}}"
    return {
        "recording": status
        | {
            "platform": "switch",
            "name": None,
            "icon": "mdi:record-rec",
            "command_topic": device.command(Verb.RECORD),
            "value_template": f"{{{{ {recording}.get(value_json.state, '') }}}}",
        },
        "stream": status
        | {
            "platform": "switch",
            "name": "Live view",
            "icon": "mdi:cctv",
            "command_topic": device.command(Verb.STREAM),
            "value_template": f"{{{{ {streaming}.get(value_json.state, '') }}}}",
        },
        "mode": status
        | {
            "platform": "select",
            "name": "Mode",
            "icon": "mdi:video-switch",
            "options": names,
            "command_topic": device.command(Verb.MODE),
            # A mode that is not among the options would be an error in Home Assistant's log.
            "value_template": "{{ value_json.selected_mode if "
            + one_of("value_json.selected_mode", names)
            + " else '' }}",
        },
        "duration": status
        | {
            "platform": "number",
            "name": "Duration",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "min": 0,
            "max": MAX_DURATION_S,
            "step": 1,
            "mode": "box",
            "command_topic": device.command(Verb.DURATION),
            "value_template": "{{ value_json.duration_s | default('') }}",
        },
    } | _buttons(device)


def _buttons(device: Device) -> dict[str, Component]:
    def button(verb: Verb, name: str, payload: str = "PRESS", **options: str) -> Component:
        command = {"command_topic": device.command(verb), "payload_press": payload}
        return {"platform": "button", "name": name, **command, **options}

    return {
        "snapshot": button(Verb.SNAPSHOT, "Take snapshot", icon="mdi:camera"),
        "lock": button(Verb.LOCK, "Lock last 5 minutes", LOCKED_BACK, icon="mdi:lock-clock"),
        "restart": button(Verb.RESTART, "Restart agent", device_class="restart", entity_category="config"),
        "announce": button(Verb.ANNOUNCE, "Announce again", icon="mdi:bullhorn", entity_category="config"),
    }


def _state(device: Device) -> dict[str, Component]:
    status = device.topic(DeviceKind.STATUS)
    last = "value_json.last_command"
    alarming = f"value_json.problems | default([]) | rejectattr('code', 'in', {json.dumps(sorted(NOTES))})"
    return {
        "state": sensor(
            status,
            "State",
            text("value_json.state"),
            device_class="enum",
            options=list(DeviceState),
            icon="mdi:state-machine",
            json_attributes_topic=status,
            json_attributes_template=attributes(mode="value_json.mode", label="value_json.label"),
        ),
        "started": sensor(status, "Recording since", text("value_json.started_at"), device_class="timestamp"),
        "ends": sensor(status, "Recording ends", text("value_json.ends_at"), device_class="timestamp"),
        "selected_mode": sensor(
            status, "Selected mode", text("value_json.selected_mode"), icon="mdi:video-switch", **DIAGNOSTIC
        ),
        "last_command": sensor(
            status,
            "Last command",
            f"{{{{ {last}.verb ~ ' ' ~ {last}.status ~ ('' if {last}.code == 'ok' else ' (' ~ {last}.code ~ ')')"
            f" if {last} is mapping else 'none' }}}}",
            icon="mdi:console-line",
            **DIAGNOSTIC,
        ),
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "state_topic": status,
            "value_template": f"{{{{ 'ON' if {alarming} | list else 'OFF' }}}}",
            "json_attributes_topic": status,
            "json_attributes_template": attributes(problems="value_json.problems"),
        },
        "connection": {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "state_topic": device.topic(DeviceKind.AVAILABILITY),
            "payload_on": "online",
            "payload_off": "offline",
            # Available as soon as the topic has said anything: else it would be unavailable where it should be off.
            "availability": [{"topic": device.topic(DeviceKind.AVAILABILITY), "value_template": "online"}],
            **DIAGNOSTIC,
        },
    }


_BOOTED = (
    "{% set up = value_json.uptime_s | default(none) %}{% if up is number %}"
    "{% set boot = as_timestamp(value_json.at) - up %}"
    "{% set known = as_timestamp(this.state, none) if this is defined else none %}"
    "{{ this.state if known is number and (known - boot) | abs < 60 else boot | round(0) | int | timestamp_utc }}"
    "{% else %}{{ none }}{% endif %}"
)
"""The instant of the boot, which is what an uptime is without ticking; as long as it differs by less than a minute from
what is shown, that stays."""


def _machine(device: Device) -> dict[str, Component]:
    shown = partial(figure, device)

    def flag(name: str, path: str, **options: Any) -> Component:
        flags = {"platform": "binary_sensor", "name": name, "value_template": boolean(path), **options}
        return telemetry(device, flags)

    celsius = {"device_class": "temperature", "unit_of_measurement": "°C", "suggested_display_precision": 1}
    boot = sensor("", "Last boot", _BOOTED, device_class="timestamp")
    return {
        "cpu": shown("CPU", number("value_json.cpu_percent"), PERCENT, icon="mdi:cpu-64-bit"),
        "load": shown("Load", number("value_json.load_1m", digits=1), RARELY, icon="mdi:gauge"),
        "memory": shown("Memory", number("value_json.memory_percent"), PERCENT, icon="mdi:memory"),
        "memory_available": shown("Memory available", number("value_json.memory_available_bytes", 1e6, -1), MB, RARELY),
        "temperature": shown("Temperature", number("value_json.temperature_c", digits=1), celsius),
        "under_voltage": flag("Under-voltage", "value_json.under_voltage", device_class="problem"),
        "throttled": flag("Throttled", "value_json.throttled", device_class="problem"),
        "last_boot": telemetry(device, boot),
        "clock_synchronized": flag(
            "Clock synchronized", "value_json.clock_synchronized", icon="mdi:clock-check", **RARELY
        ),
        "agent_memory": shown("Agent memory", number("value_json.agent.rss_bytes", 1e6), MB),
        "agent_cpu": shown("Agent CPU", number("value_json.agent.cpu_percent"), PERCENT, RARELY, icon="mdi:cpu-64-bit"),
        "network_received": shown("Network in", number("value_json.network.rx_bps", 1e6, 2), MBPS, RARELY),
        "network_sent": shown("Network out", number("value_json.network.tx_bps", 1e6, 2), MBPS, RARELY),
    }


def _storage(device: Device) -> dict[str, Component]:
    shown = partial(figure, device)
    disk, recordings = "value_json.disk", "value_json.recordings"
    hours = {"device_class": "duration", "unit_of_measurement": "h", "suggested_display_precision": 1}
    milliseconds = {"device_class": "duration", "unit_of_measurement": "ms", "suggested_display_precision": 0}
    oldest = sensor("", "Oldest recording", text(f"{recordings}.oldest_at"), device_class="timestamp")
    return {
        "disk_free": shown("Disk free", number(f"{disk}.free_bytes", 1e9, 1), GB),
        "disk_used": shown("Disk used", number(f"{disk}.used_percent"), PERCENT, icon="mdi:harddisk"),
        "hours_left": shown("Recording time left", number(f"{disk}.recording_hours_left", digits=1), hours),
        "write_rate": shown("Write rate", number(f"{disk}.write_bps", 1e6, 2), MBPS, RARELY),
        "sync_time": shown("Disk sync time", number(f"{disk}.sync_ms"), milliseconds, RARELY),
        "recordings_size": shown("Recordings size", number(f"{recordings}.bytes", 1e9, 2), GB),
        "recordings_locked": shown("Locked recordings", number(f"{recordings}.locked_bytes", 1e9, 2), GB),
        "recordings_count": shown(
            "Stored segments", number(f"{recordings}.count"), RARELY, icon="mdi:filmstrip-box-multiple"
        ),
        "oldest": telemetry(device, oldest),
    }


def _about(device: Device) -> dict[str, Component]:
    info = device.topic(DeviceKind.INFO)
    groups = "{{ (value_json.groups | default([])) | join(', ') or 'none' }}"
    return {
        "version": sensor(info, "Version", text("value_json.version"), icon="mdi:tag-outline", **DIAGNOSTIC),
        "groups": sensor(info, "Groups", groups, icon="mdi:tag-multiple-outline", **DIAGNOSTIC),
        "agent_started": sensor(
            info, "Agent started", text("value_json.started_at"), device_class="timestamp", **DIAGNOSTIC
        ),
        "simulated": {
            "platform": "binary_sensor",
            "name": "Simulated cameras",
            "icon": "mdi:test-tube",
            "state_topic": info,
            "value_template": boolean("value_json.simulated"),
            **DIAGNOSTIC,
        },
    }


def _events(device: Device) -> dict[str, Component]:
    topic = device.topic(DeviceKind.EVENT)
    known = [event_type.value for event_type in EventType]
    event: Component = {
        "platform": "event",
        "name": "Event",
        "icon": "mdi:bell-ring",
        "event_types": known,
        "state_topic": topic,
        # A type of a newer agent, whose discovery has not come yet, would be a warning.
        "value_template": "{{ value if " + one_of("value_json.event_type", known) + " else '' }}",
    }
    return {"event": event} | {
        f"trigger_{trigger}": {
            "platform": "device_automation",
            "automation_type": "trigger",
            "type": trigger.value,
            "subtype": "event",
            "topic": topic,
            "payload": trigger.value,
            "value_template": "{{ value_json.event_type }}",
        }
        for trigger in TRIGGERS
    }
