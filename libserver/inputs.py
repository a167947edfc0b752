"""For how long may a message take to arrive?

The earliest of three deadlines holds:

* its header as a whole: `header_timeout` after its first byte, and for a connection's first
  message after accept. A byte buys no time.
* its content: `content_timeout` after the byte that came last.
* both together: `min_data_rate` bytes a second on average since the first byte, judged from
  `RATE_GRACE` seconds on. A peer that sends a byte now and then gets no further than that.

Rules:

* All of them stand still while we ourselves pause reading: when it goes on, every start moves
  forward by as long as the pause was.
* A byte moves a deadline later and never earlier, so nothing is done when one comes but to
  note it. A connection is looked at when its message was overdue, and again at the time by
  which it is overdue then (`eventloop.Deadlines`).
* Between messages a connection owns nothing here.

Not here: when a connection pauses, and what an overdue one is told (`libserver.message`); those
between messages (`libserver.server`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from eventloop import Deadlines, EventLoop

from .limits import RATE_GRACE, ServerLimits
from .reasons import CloseReason

__all__ = ["Arrivals"]

#: How late an overdue message may be found out, as a part of the shortest of its limits.
LATE_PART = 1 / 16
#: Seconds: bounds of that lateness.
LEAST_TICK, MOST_TICK = 1 / 1024, 1 / 16

S = TypeVar("S", bound=Hashable)


class _Arrival:
    """How far one message is. Times are on the loop's clock.

    `began` is when its first byte came (None: none has come since accept); `since` when the part
    that is arriving was given its time: the header at its first byte, the content at its last.
    `received` counts bytes, `header_size` those of the header, 0 until it is whole. `paused` is
    since when we do not read, None while we do.
    """

    __slots__ = ("began", "header_size", "paused", "received", "since")

    def __init__(self, since: float) -> None:
        self.began: float | None = None
        self.since = since
        self.received = 0
        self.header_size = 0
        self.paused: float | None = None

    def go_on(self, now: float) -> None:
        """We read again: every start moves forward by as long as we did not."""
        assert self.paused is not None
        pause = now - self.paused
        self.paused = None
        self.since += pause
        if self.began is not None:
            self.began += pause

    def overdue(self, limits: ServerLimits) -> tuple[float, CloseReason]:
        """When it is overdue if nothing more comes, and what for."""
        if self.header_size:
            timeout, reason = limits.content_timeout, CloseReason.CONTENT_TIMEOUT
        else:
            timeout, reason = limits.header_timeout, CloseReason.HEADER_TIMEOUT
        due = self.since + timeout if timeout else math.inf
        if limits.min_data_rate and self.began is not None:
            slow = self.began + max(RATE_GRACE, self.received / limits.min_data_rate)
            if slow < due:
                return slow, CloseReason.SLOW
        return due, reason


class Arrivals(Generic[S]):
    """The messages that are arriving at a server, by connection.

    `overdue(connection, reason)` is called once for each that is late, when it is out of here.
    """

    def __init__(self, limits: ServerLimits, loop: EventLoop, overdue: Callable[[S, CloseReason], object]) -> None:
        self._limits = limits
        self._clock = loop.clock
        self._overdue = overdue
        self._arrivals: dict[S, _Arrival] = {}
        grace = RATE_GRACE if limits.min_data_rate else 0
        shortest = min(filter(None, (limits.header_timeout, limits.content_timeout, grace)), default=math.inf)
        tick = min(MOST_TICK, max(LEAST_TICK, shortest * LATE_PART))
        tick = math.ldexp(0.5, math.frexp(tick)[1])  # the power of two below it
        self._deadlines: Deadlines[S] = Deadlines(tick, self._look, loop.clock, loop.call_at)

    def __len__(self) -> int:
        return len(self._arrivals)

    def expect(self, connection: S) -> None:
        """It was accepted: the time of its first header runs from now."""
        arrival = self._arrivals[connection] = _Arrival(self._clock())
        self._watch(connection, arrival)

    def note(self, connection: S, buffered: int, header_size: int, reading: bool) -> None:
        """It is inside a message, of which `buffered` bytes wait for the rest.

        `header_size`: the header has become whole since the last note, measured so much, and is
        not among those bytes any more. `reading`: we have not paused.
        """
        now = self._clock()
        arrival = self._arrivals.get(connection)
        changed = arrival is None
        if arrival is None:
            arrival = self._arrivals[connection] = _Arrival(now)
        if arrival.paused is not None:
            if reading:
                arrival.go_on(now)
                changed = True
            else:
                now = arrival.paused  # it stands still
        if arrival.began is None:
            arrival.began = now
            changed = True
        if header_size:
            arrival.header_size = header_size
            changed = True
        received = buffered + arrival.header_size
        if arrival.header_size and (header_size or received != arrival.received):
            arrival.since = now
        arrival.received = received
        if not reading:
            self.hold(connection)
        elif changed:
            self._watch(connection, arrival)

    def hold(self, connection: S) -> None:
        """We read no more of it for now."""
        arrival = self._arrivals.get(connection)
        if arrival is not None and arrival.paused is None:
            arrival.paused = self._clock()
            self._deadlines.stop(connection)

    def stop(self, connection: S) -> None:
        """Its message is whole, or it has ended."""
        if self._arrivals.pop(connection, None) is not None:
            self._deadlines.stop(connection)

    def part(self, connection: S) -> str | None:
        """Whose time runs for it: `header`, `content`, or None."""
        arrival = self._arrivals.get(connection)
        if arrival is None or arrival.paused is not None:
            return None
        return "content" if arrival.header_size else "header"

    def _watch(self, connection: S, arrival: _Arrival) -> None:
        due, _ = arrival.overdue(self._limits)
        if due < math.inf:
            self._deadlines.set(connection, due)

    def _look(self, connection: S) -> float | None:
        due, reason = self._arrivals[connection].overdue(self._limits)
        if due > self._clock():
            return due if due < math.inf else None
        del self._arrivals[connection]
        self._overdue(connection, reason)
        return None
