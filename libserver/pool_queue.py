"""Which connections wait for a handler thread?

A connection whose request found the pool full holds that request and reads no further. It waits here, in
order, until a handler returns.

Rules:

* At most `MAX_WAITING_FOR_POOL` wait; the next is refused by its caller (`overloaded`).
* A connection that can't use its turn (it has ended, or its output is above the mark) passes it on; it comes
  back into the queue by itself if it finds the pool full again.

Not here: the threads (`libserver.pool`), the request that is held (`libserver.active_state`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from .limits import MAX_WAITING_FOR_POOL
from .notices import Notices, Source
from .pool import HandlerPool

__all__ = ["PoolQueue"]


class Waiter(Source, Protocol):
    """A connection that holds a request."""

    def pool_has_room(self) -> None:
        """Serve on."""


W = TypeVar("W", bound=Waiter)


class PoolQueue(Generic[W]):
    """The connections that wait for a thread of `pool`, in order. Not empty only while the pool is full.

    `isolate(connection, act)` has a bug in `act` end that connection alone.
    """

    __slots__ = ("_isolate", "_notices", "_pool", "_waiting")

    def __init__(self, pool: HandlerPool, notices: Notices, isolate: Callable[[W, Callable[[], object]], None]) -> None:
        self._pool = pool
        self._notices = notices
        self._isolate = isolate
        self._waiting: dict[W, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, waiter: W) -> bool:
        return waiter in self._waiting

    def may_wait(self, waiter: W) -> bool:
        """Is there room for it, or has it a place already?"""
        return len(self._waiting) < MAX_WAITING_FOR_POOL or waiter in self._waiting

    def wait(self, waiter: W) -> None:
        """Call its `pool_has_room`, once, when its turn has come."""
        if waiter not in self._waiting:
            text = "requests for blocking actions wait: all threads are busy (--handler-threads %d)"
            self._notices.tell("pool-full", text, self._pool.threads, facts=waiter.facts)
        self._waiting[waiter] = None

    def forget(self, waiter: W) -> None:
        """It has ended."""
        self._waiting.pop(waiter, None)

    def handler_returned(self) -> None:
        """A handler has returned: the connections that wait come first, before the one this return belongs to."""
        self._pool.returned()
        while self._waiting and not self._pool.full:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            self._isolate(waiter, waiter.pool_has_room)
