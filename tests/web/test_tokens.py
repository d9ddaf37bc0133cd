from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from edge_agent.web.tokens import Role, TokensUnusable, create_tokens, read_tokens, session_secret


def written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_made_file_is_for_its_owner_only_and_does_not_hold_the_token(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tokens"
    token = create_tokens(path)
    assert token is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    found = read_tokens(path).find(token)
    assert found is not None
    assert (found.role, found.name) == (Role.OPERATOR, "admin")


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "tokens", "viewer eye sixteen-characters\n")
    assert create_tokens(path) is None
    assert path.read_text() == "viewer eye sixteen-characters\n"


def test_a_start_that_lost_power_while_it_made_the_file_is_made_up_for(tmp_path: Path) -> None:
    left = written(tmp_path / "tokens.tmp", "operator ad")
    token = create_tokens(tmp_path / "tokens")
    assert token is not None
    assert read_tokens(tmp_path / "tokens").find(token) is not None
    assert not left.exists()


def test_tokens_stand_there_plain_or_as_a_digest(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"some other token").hexdigest()
    text = f"# a comment\n\nviewer eye sixteen-characters\n  operator hand SHA256:{digest.upper()}  \n"
    tokens = read_tokens(written(tmp_path / "tokens", text))
    viewer, operator = tokens.find("sixteen-characters"), tokens.find("some other token")
    assert viewer is not None
    assert viewer.role is Role.VIEWER
    assert operator is not None
    assert operator.name == "hand"
    for wrong in ("", "sixteen-character", digest, f"sha256:{digest}", "\udcff"):
        assert tokens.find(wrong) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no token"),
        ("# nothing\n", "no token"),
        ("viewer eye\n", ":1"),
        ("\nadmin eye sixteen-characters\n", ":2"),
        ("viewer Eye sixteen-characters\n", "Eye"),
        ("viewer eye short\n", "16"),
        ("viewer eye sha256:1234\n", "64"),
        ("viewer eye sixteen-characters\noperator eye sixteen-characterz\n", "same name"),
    ],
)
def test_a_file_that_cannot_be_understood_says_where_and_keeps_its_secrets(
    tmp_path: Path, text: str, named: str
) -> None:
    with pytest.raises(TokensUnusable, match=named) as caught:
        read_tokens(written(tmp_path / "tokens", text))
    assert "sixteen" not in str(caught.value)


def test_a_file_that_is_not_text_or_not_there_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xff\xfe")
    with pytest.raises(TokensUnusable):
        read_tokens(tmp_path / "tokens")
    with pytest.raises(TokensUnusable):
        read_tokens(tmp_path / "none")
    with pytest.raises(TokensUnusable):
        create_tokens(tmp_path / "tokens" / "below-a-file")


def test_a_file_open_to_others_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "tokens", "viewer eye sixteen-characters\n")
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_tokens(path)
    assert "644" in caplog.text
    assert "sixteen" not in caplog.text


def test_the_session_secret_stays_and_a_torn_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secret"
    secret = session_secret(path)
    assert len(secret) == 32
    assert session_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(secret[:7])
    assert len(session_secret(path)) == 32
