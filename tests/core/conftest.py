"""What several tests of the core need."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def own_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands nine hours east of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XST-9")
        time.tzset()
        yield
    time.tzset()
