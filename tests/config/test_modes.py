from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import config
from edge_agent.config.modes import bitrate_bps
from edge_agent.core.model import Mode, Profile, Purpose, Step, is_name


def test_two_cameras_have_all_the_modes_of_the_contract() -> None:
    table = config.parse({}).mode_table()
    assert list(table) == [
        *(f"{owner}-{size}" for owner in ("cam0", "cam1", "dual") for size in ("640", "720p", "1080p")),
        "stream",
        "quick",
        "demo",
    ]
    small, hd, full = (
        Profile(640, 480, 30, bitrate_bps=1_500_000),
        Profile(1280, 720, 30, bitrate_bps=3_000_000),
        Profile(1920, 1080, 30, bitrate_bps=6_000_000),
    )
    both = ("cam0", "cam1")
    assert table["cam1-720p"] == Mode("cam1-720p", ("cam1",), Purpose.RECORD, (Step(hd),))
    assert table["dual-1080p"] == Mode("dual-1080p", both, Purpose.RECORD, (Step(full),))
    assert table["stream"] == Mode("stream", both, Purpose.LIVE, (Step(Profile(640, 480, 30, quality=80)),))
    assert table["quick"] == Mode("quick", both, Purpose.RECORD, (Step(small, 10),), comparison=True)
    assert table["demo"] == Mode("demo", both, Purpose.RECORD, (Step(small, 5), Step(hd, 5), Step(full, 5)))
    assert all(name == mode.name and is_name(name) for name, mode in table.items())


@pytest.mark.parametrize(
    ("ids", "owners", "selected"),
    [
        (["front", "rear"], {"front", "rear", "dual"}, "dual-640"),
        (["front"], {"front"}, "front-640"),
        (["a", "b", "c"], {"a", "b", "c", "all"}, "a-640"),
        (["x" * 32, "rear"], {"cam0", "rear", "dual"}, "dual-640"),
    ],
)
def test_cameras_of_any_name_and_number_have_sensible_modes(ids: list[str], owners: set[str], selected: str) -> None:
    settings = config.parse({"cameras": [{"id": camera} for camera in ids]})
    table = settings.mode_table()
    assert {name.rsplit("-", 1)[0] for name in table if "-" in name} == owners
    assert all(is_name(name) for name in table)
    assert {camera for mode in table.values() for camera in mode.cameras} == set(ids)
    assert settings.default_mode() == selected


def test_configured_modes_add_to_the_built_in_ones_or_replace_them() -> None:
    document = {
        "modes": {
            "night": {"cameras": ["cam1"], "width": 1920, "height": 1080, "fps": 10},
            "dual-640": {"fps": 15, "bitrate_bps": 900_000},
        }
    }
    table = config.parse(document).mode_table()
    night = Profile(1920, 1080, 10, bitrate_bps=2_000_000)
    assert table["night"] == Mode("night", ("cam1",), Purpose.RECORD, (Step(night),))
    assert table["dual-640"].steps == (Step(Profile(640, 480, 15, bitrate_bps=900_000)),)
    assert table["dual-640"].cameras == ("cam0", "cam1")


def test_a_configured_bit_rate_holds_for_all_built_in_recording_modes() -> None:
    table = config.parse({"recording": {"bitrate_bps": 2_500_000}}).mode_table()
    rates = {step.profile.bitrate_bps for name, mode in table.items() if name != "stream" for step in mode.steps}
    assert rates == {2_500_000}


@given(st.integers(64, 4608), st.integers(64, 4608), st.integers(1, 120))
def test_bit_rates_grow_with_the_picture_and_never_fall_below_what_encoders_bear(w: int, h: int, fps: int) -> None:
    assert bitrate_bps(w, h, fps) >= 200_000
    assert bitrate_bps(w + 2, h, fps) >= bitrate_bps(w, h, fps)
    assert bitrate_bps(w, h, fps + 1) >= bitrate_bps(w, h, fps)
