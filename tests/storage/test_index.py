from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from edge_agent.storage.index import Index


def broken_off() -> Iterator[tuple[str, int, int]]:
    """A scan that a dying disk ends in the midst."""
    yield "640x480/cam0/a.mp4", 1, 1
    raise OSError(errno.EIO, "Input/output error")


def broken_off_extras() -> Iterator[tuple[str, datetime, int, bool, bool]]:
    yield from ()
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    "scan",
    [lambda index: index.compare(broken_off(), []), lambda index: index.extras.reconcile(broken_off_extras())],
    ids=["segments", "extras"],
)
def test_a_scan_that_breaks_off_leaves_the_cache_to_the_next_one(scan: Callable[[Index], object]) -> None:
    index = Index(None)
    with pytest.raises(OSError, match="Input/output"):
        scan(index)
    difference = index.compare([("640x480/cam0/b.mp4", 1, 1)], [])
    assert (difference.gone, difference.changed) == ([], ["640x480/cam0/b.mp4"])
    index.extras.reconcile([])
    index.close()
