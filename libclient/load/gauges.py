"""How is the load generator itself doing, and what happened since the last line?

A load tester that is late measures itself. `Gauges` asks every few milliseconds how much later
than asked its timer was called (loop lag: so long may a reply have lain in the kernel before it
was read), and takes the process's CPU time over the measured window. `Beat` cuts a ledger's
counters into intervals.

Not here: what follows from the figures (`load.verdict`).
"""

from __future__ import annotations

import time

from eventloop import EventLoop

from .histogram import Histogram
from .stats import Interval, Ledger

__all__ = ["Beat", "Gauges"]

#: Seconds between two measurements of how late the loop is: a hundred per second cost nothing.
#: An idle epoll loop is up to a millisecond late, because that is the unit it waits in.
PROBE_EVERY = 0.010


class Gauges:
    """`duration_s`, `cpu` (share of one core) and `loop_lag` of the window from `start` to `stop`."""

    def __init__(self, loop: EventLoop) -> None:
        self.duration_s = 0.0
        self.cpu = 0.0
        self.loop_lag = Histogram()
        self._loop = loop
        self._running = False
        self._started = 0.0
        self._cpu_started = 0.0

    def start(self) -> None:
        self._running = True
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()
        self._ask()

    def _ask(self) -> None:
        due = self._loop.clock() + PROBE_EVERY
        self._loop.call_at(due, self._answered, due)

    def _answered(self, due: float) -> None:
        if self._running:
            self.loop_lag.record(max(0, int((self._loop.clock() - due) * 1e9)))
            self._ask()

    def stop(self) -> None:
        if self._running:
            self._running = False
            self.duration_s = time.perf_counter() - self._started
            self.cpu = (time.process_time() - self._cpu_started) / self.duration_s


class Beat:
    """Cuts time into intervals: each `cut` is what happened to a ledger since the one before."""

    def __init__(self, began: int) -> None:
        self._began = self._cut = began  # ns
        self._ledger: Ledger | None = None
        self._counted = (0, 0, 0, 0)

    def cut(self, now: int, ledger: Ledger, open_connections: int) -> tuple[Interval, Histogram]:
        """The interval that ends `now` (ns) and its latencies. Another ledger's counters begin at 0."""
        before = self._counted if ledger is self._ledger else (0, 0, 0, 0)
        counts = (ledger.sent, ledger.ok, ledger.failed, ledger.replies)
        sent, ok, failed, replies = (count - base for count, base in zip(counts, before, strict=True))
        recent = ledger.take_recent()
        interval = Interval(
            (self._cut - self._began) / 1e9,
            (now - self._began) / 1e9,
            sent,
            ok,
            failed,
            replies,
            open_connections,
            recent.max,
        )
        self._cut, self._ledger, self._counted = now, ledger, counts
        return interval, recent
