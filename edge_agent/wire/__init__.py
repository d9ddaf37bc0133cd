"""The public JSON: commands as they come in, documents as they go out, and the schemas of both.

Everything that MQTT and HTTP say to the outside is built here from core values, and everything that comes in is turned
into core values here, so that both doors speak one language. Together with `config` this package is the only place
that imports pydantic. It decides nothing: whether a mode exists or a command came too late is the core's matter.
"""

from __future__ import annotations

from edge_agent.wire.decode import MAX_PAYLOAD_BYTES, decode_command
from edge_agent.wire.documents import result_document, status_document, telemetry_document
from edge_agent.wire.events import event_document
from edge_agent.wire.info import About, CameraAbout, info_document
from edge_agent.wire.parts import encode

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "About",
    "CameraAbout",
    "decode_command",
    "encode",
    "event_document",
    "info_document",
    "result_document",
    "status_document",
    "telemetry_document",
]
