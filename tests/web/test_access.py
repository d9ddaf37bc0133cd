from __future__ import annotations

import base64
from pathlib import Path

import pytest

from edge_agent.web.access import (
    LOCK_FAILURES,
    LOCK_S,
    MAX_ENDED,
    REMEMBERED,
    SESSION_S,
    Access,
    Brake,
    Identity,
    Via,
    Wrong,
)
from edge_agent.web.tokens import Role, read_tokens
from tests.fakes.web import OPERATOR, VIEWER, Clock, known_tokens


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(tmp_path: Path, clock: Clock) -> Access:
    return Access(known_tokens(tmp_path), b"s" * 32, clock)


def basic(password: str, name: str = "anything") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def came_in(found: Identity | Wrong) -> Identity:
    assert isinstance(found, Identity)
    return found


@pytest.mark.parametrize("header", [f"Bearer {VIEWER}", f"bearer  {VIEWER}", basic(VIEWER), basic(VIEWER, "")])
def test_a_token_comes_as_bearer_or_as_the_password_of_basic(access: Access, header: str) -> None:
    assert access.by_header(header, "10.0.0.1") == Identity("eye", Role.VIEWER, Via.HEADER)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", f"Token {VIEWER}", VIEWER, basic("x"), "Basic !!!", "Basic /w==", f"Basic {VIEWER}"],
)
def test_whatever_else_comes_is_wrong(access: Access, header: str) -> None:
    assert isinstance(access.by_header(header, "10.0.0.1"), Wrong)


def test_without_tokens_everybody_operates(clock: Clock) -> None:
    access = Access(None, b"s" * 32, clock)
    assert access.anonymous
    assert came_in(access.by_header("Bearer whatever", "10.0.0.1")).role is Role.OPERATOR
    assert access.by_cookie("admin.9999999999.00") is None


def test_a_login_lasts_thirty_days_and_survives_a_restart(tmp_path: Path, access: Access, clock: Clock) -> None:
    session = access.new_session(came_in(access.by_token(OPERATOR, "10.0.0.1")))
    after_restart = Access(known_tokens(tmp_path), b"s" * 32, clock)
    assert after_restart.by_cookie(session) == Identity("hand", Role.OPERATOR, Via.COOKIE, session)
    clock.turn(SESSION_S - 1)
    assert access.by_cookie(session) is not None
    clock.turn(1)
    assert access.by_cookie(session) is None


def test_a_login_that_was_ended_does_not_come_back_and_the_next_one_holds(access: Access) -> None:
    identity = came_in(access.by_token(OPERATOR, "10.0.0.1"))
    first = access.new_session(identity)
    access.end_session(first)
    assert access.by_cookie(first) is None
    second = access.new_session(identity)
    assert access.by_cookie(second) == Identity("hand", Role.OPERATOR, Via.COOKIE, second)


def test_memory_does_not_grow_with_the_logins_that_were_ended(access: Access) -> None:
    session = access.new_session(came_in(access.by_token(OPERATOR, "10.0.0.1")))
    access.end_session(session)
    for number in range(MAX_ENDED):
        access.end_session(str(number))
    assert access.by_cookie(session) is not None


def test_a_cookie_that_was_changed_or_is_another_agents_is_worth_nothing(
    tmp_path: Path, access: Access, clock: Clock
) -> None:
    session = access.new_session(came_in(access.by_token(VIEWER, "10.0.0.1")))
    name, expires, signature = session.split(".")
    changed = [
        f"hand.{expires}.{signature}",
        f"{name}.{int(expires) + 1}.{signature}",
        f"{name}.{expires}.{signature[:-1]}",
        f"{name}.{expires}",
        f"{name}..{signature}",
        f"{name}.-1.{signature}",
        f"{name}.٣.{signature}",
        f"{name}.{expires}.\u00e9",
        "",
        ".",
        "..",
    ]
    assert [access.by_cookie(cookie) for cookie in changed] == [None] * len(changed)
    assert Access(known_tokens(tmp_path), b"t" * 32, clock).by_cookie(session) is None


def test_a_token_that_was_replaced_or_got_another_role_ends_its_logins(
    tmp_path: Path, access: Access, clock: Clock
) -> None:
    session = access.new_session(came_in(access.by_token(VIEWER, "10.0.0.1")))
    for line in ("viewer eye another-long-token", f"operator eye {VIEWER}", f"viewer other {VIEWER}"):
        (tmp_path / "tokens").write_text(line + "\n")
        assert Access(read_tokens(tmp_path / "tokens"), b"s" * 32, clock).by_cookie(session) is None


def test_the_xsrf_token_belongs_to_one_session(access: Access, clock: Clock) -> None:
    identity = came_in(access.by_token(VIEWER, "10.0.0.1"))
    one = access.new_session(identity)
    clock.turn(1)
    other = access.new_session(identity)
    assert access.is_xsrf_token(one, access.xsrf_token(one))
    assert not access.is_xsrf_token(other, access.xsrf_token(one))
    assert not access.is_xsrf_token(one, "")


def test_failures_cost_more_and_more_time_and_then_lock_the_address(access: Access, clock: Clock) -> None:
    delays = []
    for _ in range(LOCK_FAILURES):
        found = access.by_token("wrong", "10.0.0.1")
        assert isinstance(found, Wrong)
        delays.append(found.delay_s)
        clock.turn(1)
    assert delays[:8] == [0, 0, 0, 0, 0, 1, 2, 4]
    assert max(delays) == 4
    locked = access.by_token("wrong", "10.0.0.1")
    assert isinstance(locked, Wrong)
    assert 0 < locked.locked_s <= LOCK_S
    assert isinstance(access.by_token(VIEWER, "10.0.0.1"), Wrong), "a token is not even looked at while locked"
    assert isinstance(access.by_token(VIEWER, "10.0.0.2"), Identity), "other addresses are not concerned"
    clock.turn(LOCK_S)
    assert isinstance(access.by_token(VIEWER, "10.0.0.1"), Identity)


def test_who_came_in_before_is_not_locked_out_by_somebody_behind_the_same_address(access: Access) -> None:
    assert isinstance(access.by_token(VIEWER, "10.0.0.1"), Identity)
    for _ in range(LOCK_FAILURES + 1):
        access.by_token("wrong", "10.0.0.1")
    assert isinstance(access.by_token(VIEWER, "10.0.0.1"), Identity)
    assert isinstance(access.by_token(OPERATOR, "10.0.0.1"), Wrong)


def test_a_slow_trickle_of_mistakes_is_not_an_attack(access: Access, clock: Clock) -> None:
    for _ in range(50):
        assert access.by_token("wrong", "10.0.0.1") == Wrong(delay_s=0.0)
        clock.turn(300)


def test_the_addresses_of_one_ipv6_network_count_as_one() -> None:
    brake = Brake()
    for number in range(LOCK_FAILURES):
        brake.failed(f"2001:db8::{number:x}", 1.0)
    assert brake.locked_s("2001:db8::ffff", 1.0) > 0
    assert brake.locked_s("2001:db8:0:1::1", 1.0) == 0
    for number in range(LOCK_FAILURES):
        brake.failed(f"::ffff:10.0.0.{number}", 1.0)
    assert brake.locked_s("::ffff:10.0.0.1", 1.0) == 0


def test_an_attack_from_many_addresses_does_not_fill_the_memory() -> None:
    brake = Brake()
    for number in range(REMEMBERED * 3):
        brake.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", float(number))
    assert len(brake._records) == REMEMBERED
