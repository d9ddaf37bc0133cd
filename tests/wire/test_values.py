from __future__ import annotations

import pytest

from edge_agent.wire.values import counted


@pytest.mark.parametrize(("count", "text"), [(0, "0 segments"), (1, "1 segment"), (2, "2 segments")])
def test_one_is_not_many(count: int, text: str) -> None:
    assert counted(count, "segment") == text
