"""For how long may a message take to arrive?

The earliest of three deadlines holds:

* its header as a whole: `header_timeout` after its first byte, and for a connection's first
  message after accept. A byte buys no time.
* its content: `content_timeout` after the byte that came last.
* both together: `min_data_rate` bytes a second, judged from `RATE_GRACE` seconds after the first byte on, and
  over the last one to two `RATE_WINDOW` only. A peer that sends a byte now and then gets no further than
  that, however much it sent at once before.

Rules:

* All of them stand still while we ourselves pause reading: when it goes on, every start moves
  forward by as long as the pause was.
* A byte moves a deadline later and never earlier, so nothing is done when one comes but to
  note it. A connection is looked at when its message was overdue, and again at the time by
  which it is overdue then (`eventloop.TimerWheel`).
* Between messages a connection owns nothing here.

Not here: when a connection pauses, and what an overdue one is told (`libserver.message`); those
between messages (`libserver.server`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from eventloop import EventLoop, TimerWheel

from .limits import RATE_GRACE, RATE_WINDOW, ServerLimits
from .reasons import CloseReason

__all__ = ["ReceiveTimeouts"]

#: How late an overdue message may be found out, as a part of the shortest of its limits.
LATE_PART = 1 / 16
#: Seconds: bounds of that lateness.
LEAST_TICK, MOST_TICK = 1 / 1024, 1 / 16

S = TypeVar("S", bound=Hashable)


class _Arrival:
    """How far one message is. Times are on the loop's clock.

    `since` is when the part that is arriving was given its time: the header at its first byte, the
    content at its last. `received` counts bytes, `header_size` those of the header, 0 until it is whole. `paused` is
    since when we do not read, None while we do.

    The rate is judged since `base` (None: no byte has come since accept), when `base_received` bytes were here. That
    is the first byte at first; whenever the `mark` is a window old it becomes the base, and the present the
    mark. So two times and two numbers are enough, whatever comes.
    """

    __slots__ = ("base", "base_received", "header_size", "mark", "mark_received", "paused", "received", "since")

    def __init__(self, since: float) -> None:
        self.base: float | None = None
        self.base_received = 0
        self.mark = math.inf
        self.mark_received = 0
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
        if self.base is not None:
            self.base += pause
            self.mark += pause

    def begin(self, now: float) -> None:
        """Its first byte has come."""
        self.base = self.mark = now

    def slide(self, now: float) -> None:
        """Judge by what came lately, if there is a later time to judge from."""
        if now >= self.mark + RATE_WINDOW:
            self.base, self.base_received = self.mark, self.mark_received
            self.mark, self.mark_received = now, self.received

    def overdue(self, limits: ServerLimits) -> tuple[float, CloseReason]:
        """When it is overdue if nothing more comes, and what for."""
        if self.header_size:
            timeout, reason = limits.content_timeout, CloseReason.CONTENT_TIMEOUT
        else:
            timeout, reason = limits.header_timeout, CloseReason.HEADER_TIMEOUT
        due = self.since + timeout if timeout else math.inf
        if limits.min_data_rate and self.base is not None:
            received = self.received - self.base_received
            slow = self.base + max(RATE_GRACE, received / limits.min_data_rate)
            if slow < due:
                return slow, CloseReason.SLOW
        return due, reason


class ReceiveTimeouts(Generic[S]):
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
        self._deadlines: TimerWheel[S] = TimerWheel(tick, self._look, loop.clock, loop.call_at)

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
        if arrival.base is None:
            arrival.begin(now)
            changed = True
        else:
            arrival.slide(now)  # before what has come now is counted
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
        due = self._when_to_look(arrival, due)
        if due < math.inf:
            self._deadlines.set(connection, due)

    def _when_to_look(self, arrival: _Arrival, due: float) -> float:
        """When it is overdue, or will be judged by what came later."""
        return min(due, arrival.mark + RATE_WINDOW) if self._limits.min_data_rate else due

    def _look(self, connection: S) -> float | None:
        arrival = self._arrivals[connection]
        now = self._clock()
        arrival.slide(now)
        due, reason = arrival.overdue(self._limits)
        if due > now:
            due = self._when_to_look(arrival, due)
            return due if due < math.inf else None
        del self._arrivals[connection]
        self._overdue(connection, reason)
        return None
