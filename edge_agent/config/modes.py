"""The modes that every device has, for whatever its cameras are called, and their bit rates."""

from __future__ import annotations

from edge_agent.core.model import RESOLUTIONS, Mode, Profile, Purpose, Step, is_name

FPS = 30
"""Frames a second of the built-in recording modes."""
BITRATES_BPS = {"640": 1_500_000, "720p": 3_000_000, "1080p": 6_000_000}
"""By size at 30 frames a second, where no rate is configured: 64 GB then hold 94, 47 and 23 hours of one camera."""
LOWEST_BITRATE_BPS = 200_000
"""The Pi 4's hardware encoder hangs at rates below about 100 kb/s (raspberrypi/rpicam-apps issue 664)."""
QUICK_S = 10.0
DEMO_S = 5.0


def bitrate_bps(width: int, height: int, fps: int) -> int:
    """A good rate for this picture: that of the next larger known size, in proportion to the frame rate."""
    pixels = width * height
    known = sorted((w * h, BITRATES_BPS[short]) for short, (w, h) in RESOLUTIONS.items())
    largest_pixels, largest_rate = known[-1]
    rate = next((rate for size, rate in known if size >= pixels), largest_rate * pixels // largest_pixels)
    return max(LOWEST_BITRATE_BPS, rate * fps // FPS)


def profiles(rate_bps: int | None) -> dict[str, Profile]:
    """The recording profile of each resolution that a command may name; `rate_bps` None: a rate by size."""
    return {
        short: Profile(width, height, FPS, bitrate_bps=rate_bps or bitrate_bps(width, height, FPS))
        for short, (width, height) in RESOLUTIONS.items()
    }


def built_in(cameras: tuple[str, ...], rate_bps: int | None, live: Profile) -> dict[str, Mode]:
    """The built-in modes by name: per camera, `dual-*` for two (`all-*` for more), `stream`, `quick`, `demo`.

    A camera whose id is too long for a mode's name has modes by its place in the list, such as `cam0-640`.
    """
    sizes = profiles(rate_bps)
    owners = [
        (camera if is_name(f"{camera}-1080p") else f"cam{place}", (camera,)) for place, camera in enumerate(cameras)
    ]
    together = [("dual" if len(cameras) == 2 else "all", cameras)] if len(cameras) > 1 else []
    modes = {
        f"{owner}-{short}": Mode(f"{owner}-{short}", which, Purpose.RECORD, (Step(profile),))
        for owner, which in [*owners, *together]
        for short, profile in sizes.items()
    }
    sample = (Step(sizes["640"], QUICK_S),)
    demo = tuple(Step(profile, DEMO_S) for profile in sizes.values())
    return modes | {
        "stream": Mode("stream", cameras, Purpose.LIVE, (Step(live),)),
        "quick": Mode("quick", cameras, Purpose.RECORD, sample, comparison=True),
        "demo": Mode("demo", cameras, Purpose.RECORD, demo),
    }
