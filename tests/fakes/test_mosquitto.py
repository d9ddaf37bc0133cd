from __future__ import annotations

import subprocess

import pytest

from tests.fakes.listener import Listener
from tests.fakes.mosquitto import MakeMosquitto, Mosquitto


def test_what_is_retained_is_found_and_forgotten_by_a_restart(mosquitto: Mosquitto) -> None:
    mosquitto.publish("t", "1", retain=True)
    assert mosquitto.retained("#") == {"t": "1"}
    mosquitto.restart()
    assert mosquitto.retained("#") == {}


def test_with_persistence_it_survives(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(persistence=True)
    mosquitto.publish("t", "1", retain=True)
    mosquitto.restart()
    assert mosquitto.retained("#") == {"t": "1"}


def test_a_listener_hears_properties_and_fails_loudly_when_nothing_comes(mosquitto: Mosquitto) -> None:
    with Listener(mosquitto.port, "t") as listener:
        listener.publish("t", "x", retain=True, UserProperty=("k", "v"))
        heard = listener.wait(lambda heard: heard)[0]
        assert (heard.text, heard.retain, heard.properties["UserProperty"]) == ("x", True, [("k", "v")])
        with pytest.raises(AssertionError, match="not heard"):
            listener.wait(lambda heard: len(heard) > 1, timeout_s=0.1)


def test_strangers_are_kept_out_where_users_are_given(make_mosquitto: MakeMosquitto) -> None:
    mosquitto = make_mosquitto(users={"one": "secret"})
    with pytest.raises(subprocess.CalledProcessError):
        mosquitto.publish("t", "1")
    mosquitto.publish("t", "1", "-u", "one", "-P", "secret")
