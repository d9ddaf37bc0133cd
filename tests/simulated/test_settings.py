from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.simulated.settings import Release, Settings, SettingsError


def test_an_empty_environment_is_a_new_machine_with_two_cameras() -> None:
    settings = Settings.from_environment({})
    assert settings.release == Release(1, 13, 0)
    assert (settings.cameras, settings.lite, settings.control) == (2, False, None)


def test_locks_are_per_user_unless_a_directory_is_named() -> None:
    assert Settings.from_environment({"TMPDIR": "/t"}).lock_directory.parent == Path("/t")
    named = Settings.from_environment({"EDGE_AGENT_SIM_LOCK_DIR": "/locks"})
    assert named.lock_directory == Path("/locks")


@pytest.mark.parametrize(
    "environment",
    [{"EDGE_AGENT_SIM_CAMERAS": "two"}, {"EDGE_AGENT_SIM_VERSION": "new"}, {"EDGE_AGENT_SIM_START_DELAY_S": "soon"}],
)
def test_a_variable_that_cannot_be_meant_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(environment))):
        Settings.from_environment(environment)


def test_versions_before_1_5_3_do_not_tell_their_capabilities() -> None:
    assert "capabilites" not in Settings(release=Release(1, 4, 1)).version_text()
    assert "libav:1" in Settings(release=Release(1, 5, 3)).version_text()
    assert "libav:0" in Settings(lite=True).version_text()
