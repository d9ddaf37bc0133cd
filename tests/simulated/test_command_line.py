from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulated.command_line import Refused, read_config, read_words
from edge_agent.simulated.option_table import known
from edge_agent.simulated.settings import Release

TABLE = known(Release(1, 13), lite=False)


@given(st.text(min_size=1).filter(lambda text: not text.startswith("-")))
def test_every_way_of_giving_a_value_gives_the_same_value(value: str) -> None:
    for words in (["--output", value], [f"--output={value}"], ["-o", value], [f"-o{value}"]):
        assert read_words(words, TABLE) == {"output": value}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--flush"], {"flush": "true"}),
        (["--flush", "1"], {"flush": "1"}),
        (["--flush=false", "-n"], {"flush": "false", "nopreview": "true"}),
        (["-v", "-n"], {"verbose": "2", "nopreview": "true"}),
        (["-c"], {"config": "config.txt"}),
        (["--width", "640", "stray", "--height=480"], {"width": "640", "height": "480"}),
        (["-o", "-"], {"output": "-"}),
        (["--ev", "-1"], {"ev": "-1"}),
        (["--time", "0"], {"timeout": "0"}),
        (["--width", "640", "--", "--height"], {"width": "640"}),
    ],
)
def test_words_are_read_as_boost_reads_them(words: list[str], expected: dict[str, str]) -> None:
    assert read_words(words, TABLE) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frobnicate"], "unrecognised option '--frobnicate'"),
        (["--frobnicate=1"], "unrecognised option '--frobnicate=1'"),
        (["-z"], "unrecognised option '-z'"),
        (["-b", "1", "--bitrate", "2"], "option '--bitrate' cannot be specified more than once"),
        (["--flush", "--flush"], "option '--flush' cannot be specified more than once"),
        (["--width"], "the required argument for option '--width' is missing"),
        (["-o", "--flush"], "the required argument for option '--output' is missing"),
        (["--width", "wide"], "the argument ('wide') for option '--width' is invalid"),
        (["--width="], "the argument for option '--width' should follow immediately after the equal sign"),
        (
            ["--flush=maybe"],
            "the argument ('maybe') for option '--flush' is invalid. Valid choices are 'on|off', 'yes|no', '1|0' and ",
        ),
        (["--awb=auto", "--lores", "1"], "option '--lores' is ambiguous and matches"),
    ],
)
def test_refusals_are_word_by_word_those_of_boost(words: list[str], message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_words(words, TABLE)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("release", "option", "is_known"),
    [
        ((1, 5, 3), "low-latency", False),
        ((1, 6, 0), "low-latency", True),
        ((1, 4, 0), "libav-video-codec-opts", False),
        ((1, 4, 1), "libav-video-codec-opts", True),
        ((1, 8, 0), "encoder-libs", False),
        ((1, 8, 1), "encoder-libs", True),
        ((1, 8, 1), "ccm", False),
        ((1, 12, 0), "preview-backend", False),
    ],
)
def test_each_version_knows_its_own_options(release: tuple[int, int, int], option: str, is_known: bool) -> None:
    assert (option in known(Release(*release), lite=False)) is is_known


def test_a_lite_build_lost_the_libav_options_only_before_encoders_became_plugins() -> None:
    assert "libav-format" not in known(Release(1, 5, 3), lite=True)
    assert "libav-format" in known(Release(1, 8, 1), lite=True)


def test_the_command_line_wins_over_a_config_file() -> None:
    given_words = {"width": "640"}
    read_config(["# a comment", "width=1280", "", "height = 720  # and another"], TABLE, given_words)
    assert given_words == {"width": "640", "height": "720"}


@pytest.mark.parametrize(
    ("line", "message"),
    [("frobnicate=1", "unrecognised option 'frobnicate'"), ("width=wide", "the argument ('wide') for option")],
)
def test_a_config_file_is_refused_for_what_it_cannot_say(line: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_config([line], TABLE, {})
    assert str(refused.value).startswith(message)
