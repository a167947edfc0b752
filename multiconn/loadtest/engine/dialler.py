"""When does the next connection open?

A burst of thousands of SYNs measures the server's backlog, not the server. So slots that want
a connection wait in a queue, which moves at the connect rate; slots with a failed connection
wait `RETRY_AFTER` before they join it.

Not here: opening one (`engine.slots`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from eventloop import EventLoop

__all__ = ["Dialler"]

#: Seconds before a connection that failed is tried again: soon enough to see a server come back.
RETRY_AFTER = 0.1
#: Seconds between two rounds, at the least: at 1,000/s five connections each.
ROUND = 0.005
#: Seconds' worth of connections that a loop held up elsewhere may catch up on; more would be a burst.
CATCH_UP = 0.1

Slot = TypeVar("Slot")


class Dialler(Generic[Slot]):
    """Calls `dial(slot)` for each slot added, at most `rate` per second."""

    def __init__(self, loop: EventLoop, rate: float, dial: Callable[[Slot], object]) -> None:
        self._loop = loop
        self._rate = rate
        self._dial = dial
        self._queue: deque[Slot] = deque()
        self._retry = loop.timeout_queue(RETRY_AFTER, self._join)
        self._credit = 1.0
        self._counted_at = loop.now
        self._closed = False

    def add(self, slots: Iterable[Slot]) -> None:
        """Let these slots have a connection as soon as the rate allows."""
        idle = not self._queue
        self._queue.extend(slots)
        if idle and self._queue:
            self._round()

    @property
    def busy(self) -> bool:
        """A slot waits for a connection."""
        return bool(self._queue) or len(self._retry) > 0

    def add_later(self, slot: Slot) -> None:
        """The same after `RETRY_AFTER`."""
        self._retry.start(slot)

    def _join(self, slot: Slot) -> None:
        self.add((slot,))

    def _round(self) -> None:
        now = self._loop.clock()
        earned = (now - self._counted_at) * self._rate
        self._credit = min(self._credit + earned, max(1.0, self._rate * CATCH_UP))
        self._counted_at = now
        while self._queue and self._credit >= 1 and not self._closed:
            self._credit -= 1
            self._dial(self._queue.popleft())
        if self._queue and not self._closed:
            self._loop.call_later(max(ROUND, (1 - self._credit) / self._rate), self._round)

    def close(self) -> None:
        """Dial no more."""
        self._closed = True
        self._queue.clear()
