"""One coded picture, apart from the packet it came in: libavformat changes packets that it writes; these are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av


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
    def of(cls, packet: av.Packet, arrived_us: int = 0) -> Unit | None:
        """The unit in a packet; None for the empty packet at the end of a stream and for a torn one."""
        if packet.dts is None or packet.pts is None or packet.is_corrupt:
            return None
        return cls(
            bytes(packet),
            packet.pts,
            packet.dts,
            packet.duration or 0,
            packet.time_base,
            packet.is_keyframe,
            arrived_us,
        )

    def packet(self) -> av.Packet:
        """A new packet of it, for one decoder or one muxer."""
        packet = av.Packet(self.data)
        packet.pts, packet.dts, packet.duration = self.pts, self.dts, self.duration
        packet.time_base = self.time_base
        packet.is_keyframe = self.key
        return packet
