"""One coded picture, apart from the packet it came in: libavformat changes packets that it writes; these are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av

_IDR = 5
# The header byte of the first slice, of another picture (1) or of an IDR picture (5), with any nal_ref_idc.
_FIRST_SLICE = re.compile(rb"\x00\x00\x01([\x01\x21\x41\x61\x05\x25\x45\x65])", re.DOTALL)


_WHOLE_BELOW_BYTES = 200 * 1024 - 2 * 188
"""libavformat's MPEG-TS reader hands a picture out in pieces of 200 KiB, less what does not fill a packet of it. Those
after the first have no time: rich pictures, such as key frames of 720p with noise."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit of a stream. `pts`, `dts` and `duration` (0: unknown) count `time_base`.

    `arrived_us` is the wall clock at which its first byte came, in microseconds since the epoch, or 0.
    """

    data: bytes = field(repr=False)
    pts: int
    dts: int
    duration: int
    time_base: Fraction
    key: bool
    arrived_us: int = 0

    @property
    def time_s(self) -> float:
        """When it is shown, on the stream's own clock."""
        return float(self.pts * self.time_base)

    @classmethod
    def of(cls, packet: av.Packet) -> Unit | None:
        """The unit in a packet; None for the empty packet at the end of a stream and for a torn one."""
        if packet.dts is None or packet.pts is None or packet.is_corrupt:
            return None
        duration = packet.duration or 0
        return cls(bytes(packet), packet.pts, packet.dts, duration, packet.time_base, packet.is_keyframe)

    @classmethod
    def unparsed(cls, packet: av.Packet, arrived_us: int) -> Unit | None:
        """The same for a packet of Annex B that no parser has seen, so that nobody has told whether it is a key."""
        unit = cls.of(packet)
        if unit is None:
            return None
        slice_found = _FIRST_SLICE.search(unit.data)
        key = slice_found is not None and slice_found[1][0] & 0x1F == _IDR
        return replace(unit, key=key, arrived_us=arrived_us)

    def packet(self) -> av.Packet:
        """A new packet of it, for one decoder or one muxer."""
        packet = av.Packet(self.data)
        packet.pts, packet.dts, packet.duration = self.pts, self.dts, self.duration
        packet.time_base = self.time_base
        packet.is_keyframe = self.key
        return packet


class Assembler:
    """Puts pictures together again that come in pieces. Only one that is as large as a piece waits for what follows."""

    def __init__(self) -> None:
        self._begun: Unit | None = None

    def take(self, packet: av.Packet, arrived_us: int) -> list[Unit]:
        """The units that are whole with this packet of Annex B, oldest first."""
        begun, self._begun = self._begun, None
        whole: list[Unit] = []
        if packet.pts is not None:
            if begun is not None:
                whole.append(begun)
            unit = Unit.unparsed(packet, arrived_us)
        elif begun is not None and not packet.is_corrupt:
            unit = replace(begun, data=begun.data + bytes(packet))
        else:
            unit = None  # the end of a stream, or the rest of a torn picture
        if unit is not None and packet.size >= _WHOLE_BELOW_BYTES:
            self._begun = unit
        elif unit is not None:
            whole.append(unit)
        return whole
