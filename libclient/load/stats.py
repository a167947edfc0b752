"""What became of every request, and does it add up?

    scheduled = sent + dropped
    sent = ok + failed + in_flight_at_end

`Ledger` keeps these books for the requests of one phase (warm-up or measured; a request's phase
is that of its intended time, so a reply that comes later still goes to the right book).
`Ledger.balance` checks them, with the number in flight counted by someone else: where they do
not add up the run is worth nothing, and says so.

Rules:

* Failures have a histogram of their own: a connection refused in 50 us must not flatter p50.
* Constant memory however long the run: histograms, counters, the first hundred incidents of
  each name, and a series of intervals that halves its resolution when it is full.
* Times are integers of nanoseconds; each reply costs one `answered`, or a share of one.

Not here: the clock, sockets (`load.runner`); percentiles (`load.histogram`); words (`load.report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import Errors, Incident
from .histogram import Histogram

__all__ = ["Accounting", "AccountingError", "Connections", "Interval", "Ledger", "Series"]


class AccountingError(AssertionError):
    """The books don't balance: a bug of the load tester, never of the server."""


class Accounting(NamedTuple):
    """What became of the requests of a run."""

    scheduled: int
    sent: int
    ok: int
    failed: int
    dropped: int
    in_flight_at_end: int


class Ledger:
    """The requests of one phase.

    `sent` is counted by whoever sends (in line, once per batch), `dropped` likewise. `replies`
    are whole replies, right or wrong; `response` is the latency of the good ones, `failures`
    the time it took the others to fail. `window_ok` and `window_replies` are what had come when
    the measured window ended: rates are made of these, so that the drain does not count.
    """

    __slots__ = (
        "_recent",
        "dropped",
        "errors",
        "failed",
        "failures",
        "ok",
        "replies",
        "response",
        "sent",
        "window_ok",
        "window_replies",
    )

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0
        self.ok = 0
        self.failed = 0
        self.replies = 0
        self.window_ok = 0
        self.window_replies = 0
        self.errors = Errors()
        self.failures = Histogram()
        self.response = Histogram()
        self._recent = Histogram()  # of this interval; each reply is recorded once

    def answered(self, latency: int, times: int = 1) -> None:
        """`times` requests got the right answer, each after `latency` nanoseconds."""
        self.ok += times
        self.replies += times
        self._recent.record(latency, times)

    def fail(self, name: str, latency: int, incident: Incident, times: int = 1, *, replied: bool = False) -> None:
        """`times` requests failed by the same incident; `replied`: with a whole reply, but not a right one."""
        self.failed += times
        if replied:
            self.replies += times
        self.failures.record(latency, times)
        self.errors.add(name, incident, times)

    def close_window(self) -> None:
        """The measured window has ended; what still comes counts, but not for rates."""
        self.window_ok = self.ok
        self.window_replies = self.replies

    def take_recent(self) -> Histogram:
        """The latencies since the last call, which from now on are part of `response`."""
        recent, self._recent = self._recent, Histogram()
        self.response.merge(recent)
        return recent

    def balance(self, in_flight: int) -> Accounting:
        """Close the books; `in_flight` requests, counted independently, were still waiting.

        Raises `AccountingError` if anything does not add up.
        """
        self.take_recent()
        accounting = Accounting(self.sent + self.dropped, self.sent, self.ok, self.failed, self.dropped, in_flight)
        for left, right, what in (
            (self.sent, self.ok + self.failed + in_flight, "sent = ok + failed + in_flight_at_end"),
            (self.ok, self.response.count, "ok = latencies recorded"),
            (self.failed, self.failures.count, "failed = times to failure recorded"),
            (self.failed, self.errors.total, "failed = errors by name"),
        ):
            if left != right:
                raise AccountingError(f"the accounting does not add up: {what} gives {left} = {right} in {accounting}")
        return accounting


@dataclass(slots=True)
class Connections:
    """What became of the connections, over the whole run (they outlive phases).

    `opened` counts successful connects, first ones and reconnects; `open_now` and `peak` are
    simultaneous ones; `closed_by_peer`: the peer finished or reset first. `connect` is how long
    the successful connects took; `errors` are failures that cost no request.
    """

    opened: int
    reconnects: int
    closed_by_peer: int
    open_now: int
    peak: int
    connect: Histogram
    errors: Errors

    def __init__(self) -> None:
        self.opened = self.reconnects = self.closed_by_peer = self.open_now = self.peak = 0
        self.connect = Histogram()
        self.errors = Errors()

    def opened_one(self, took: int, again: bool) -> None:
        """A connect succeeded after `took` nanoseconds."""
        self.opened += 1
        self.reconnects += again
        self.open_now += 1
        self.peak = max(self.peak, self.open_now)
        self.connect.record(took)

    def closed_one(self, by_peer: bool) -> None:
        self.open_now -= 1
        self.closed_by_peer += by_peer


class Interval(NamedTuple):
    """What happened in one slice of time: seconds since the run began, counts, nanoseconds."""

    start_s: float
    end_s: float
    sent: int
    ok: int
    failed: int
    replies: int
    open_connections: int
    max_ns: int

    @property
    def rate(self) -> float:
        """Replies per second."""
        return self.replies / (self.end_s - self.start_s) if self.end_s > self.start_s else 0.0

    def joined(self, later: Interval) -> Interval:
        """This interval and the one after it as one. Percentiles can't be joined, so there are none."""
        return Interval(
            self.start_s,
            later.end_s,
            self.sent + later.sent,
            self.ok + later.ok,
            self.failed + later.failed,
            self.replies + later.replies,
            later.open_connections,
            max(self.max_ns, later.max_ns),
        )


class Series:
    """Intervals in order, at most `limit` of them: full, each two neighbours become one.

    So a run of a minute is kept second by second, one of a day two minutes by two minutes.
    """

    __slots__ = ("_factor", "_filling", "limit", "points")

    def __init__(self, limit: int = 720) -> None:
        if limit < 2 or limit % 2:
            raise ValueError(f"the limit of a series must be even and at least 2, not {limit}")
        self.limit = limit
        self.points: list[Interval] = []
        self._factor = 1  # intervals in a full point
        self._filling = 0  # intervals in the last point, if it is not full

    def add(self, interval: Interval) -> None:
        points = self.points
        if self._filling:
            points[-1] = points[-1].joined(interval)
        else:
            if len(points) == self.limit:
                points[:] = [points[i].joined(points[i + 1]) for i in range(0, self.limit, 2)]
                self._factor *= 2
            points.append(interval)
        self._filling = (self._filling + 1) % self._factor
