from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.web.tokens import Tokens, TokensUnusable, read_tokens

words = st.sampled_from(
    ["operator", "viewer", "admin", "sha256:" + "0" * 64, "sha256:0", "a-token-of-16-characters", "#"]
)
lines = st.lists(words | st.text(max_size=20), max_size=5).map(" ".join)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tokens") / "tokens"
    place.touch(0o600)
    return place


@given(content=st.binary(max_size=200) | st.lists(lines, max_size=4).map(lambda many: "\n".join(many).encode()))
def test_any_content_of_the_file_gives_tokens_or_is_refused_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(TokensUnusable):
        tokens = read_tokens(path)
        assert isinstance(tokens, Tokens)
        assert tokens.find("") is None
