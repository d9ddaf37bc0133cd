"""The event loop of the agent: asyncio's own, which attends to the pipes of live pictures before anything else.

Thirty times a second a picture wakes the agent from its sleep, when nothing of it is in the processor's caches. On the
way from there to a callback of `add_reader`, and back to sleep, asyncio spends 70 us, a tenth of what it takes to
bring the picture to 50 viewers (`tests/bench/fanout.py`). A descriptor that is attended to gets its call at once.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Callable
from functools import partial


def attend(fd: int, readable: Callable[[], None]) -> Callable[[], None]:
    """Call `readable` from now on whenever `fd` has something to read; the returned function ends that.

    Like `add_reader` of the running loop, and the same where that is another than `Loop`. A descriptor has one call at
    a time, which has to end before it is closed.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, Loop):
        loop.selector.attend(fd, readable)
        return partial(loop.selector.forget, fd)
    loop.add_reader(fd, readable)

    def forget() -> None:
        loop.remove_reader(fd)

    return forget


class Loop(asyncio.SelectorEventLoop):
    """Give it to `asyncio.Runner` as its `loop_factory`."""

    def __init__(self) -> None:
        self.selector = _Selector(self.call_exception_handler)
        super().__init__(self.selector)


class _Selector(selectors.EpollSelector):
    """Waits at an epoll of its own for the descriptors attended to and for the epoll of all others."""

    def __init__(self, report: Callable[[dict[str, object]], None]) -> None:
        super().__init__()
        self._report = report
        self._calls: dict[int, Callable[[], None]] = {}
        self._outer = select.epoll()
        self._outer.register(self.fileno(), select.EPOLLIN)

    def attend(self, fd: int, readable: Callable[[], None]) -> None:
        self._outer.register(fd, select.EPOLLIN)
        self._calls[fd] = readable

    def forget(self, fd: int) -> None:
        if self._calls.pop(fd, None) is not None:
            self._outer.unregister(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Make the calls that are due, and tell what else is ready; returns after calls too, which may have set work.

        `timeout` as for `BaseSelector.select`: None waits for ever.
        """
        others = False
        # By itself `poll` makes room for a thousand events each time.
        for fd, _ in self._outer.poll(None if timeout is None else max(timeout, 0.0), len(self._calls) + 1):
            if (readable := self._calls.get(fd)) is not None:
                self._call(readable)
            else:  # a call may have forgotten it just now, and then nothing of it is told below
                others = True
        return super().select(0) if others else []

    def _call(self, readable: Callable[[], None]) -> None:
        try:
            readable()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - one bad callback must not end the loop, as with `add_reader`
            self._report({"message": f"error in {readable!r}", "exception": error})

    def close(self) -> None:
        self._outer.close()
        super().close()
