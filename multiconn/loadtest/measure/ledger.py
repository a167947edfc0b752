"""What became of every request, and does it add up?

    scheduled = sent + dropped
    sent = ok + failed + in_flight_at_end

`Ledger` counts so for the requests of one phase (warm-up or measured; a request's phase
is that of its intended time, so a reply that comes later still goes to the right ledger).
`Ledger.balance` checks them, with the number in flight counted by someone else: where they do
not add up the run is worth nothing, and says so.

Rules:

* Failures have a histogram of their own: a connection refused in 50 us must not flatter p50.
* `response` counts from the intended time, `service` from the sending. In a closed run the two
  are one, and recorded once.
* Constant memory however long the run: histograms, counters, and the first hundred incidents of
  each name.
* Times are integers of nanoseconds; each reply costs one `answered`, or a share of one.

Not here: the clock, sockets (`engine.collector`); percentiles (`measure.histogram`); words (`output.report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import Errors, Incident
from .histogram import Histogram

__all__ = ["FAILED", "OK", "SENT", "Accounting", "AccountingError", "Connections", "Ledger"]

#: What is counted of an action, in the order of `Ledger.by_action`.
SENT, OK, FAILED = 0, 1, 2


class AccountingError(AssertionError):
    """The accounting does not add up: a bug of the load tester, never of the server."""


class Accounting(NamedTuple):
    """What became of the requests of a run."""

    scheduled: int
    sent: int
    ok: int
    failed: int
    dropped: int
    in_flight_at_end: int


class Recent(NamedTuple):
    """The records since the last `take_recent`."""

    response: Histogram
    service: Histogram
    failures: Histogram


class Ledger:
    """The requests of one phase.

    `replies` are whole replies, right or wrong; `response` is the latency of the good ones, `failures`
    the time it took the others to fail. `by_action` has `[sent, ok, failed]` of each of `actions`.
    """

    __slots__ = (
        "_failures",
        "_response",
        "_service",
        "by_action",
        "dropped",
        "errors",
        "failed",
        "failures",
        "ok",
        "open",
        "replies",
        "response",
        "sent",
        "service",
    )

    def __init__(self, actions: Sequence[str] = (), *, open: bool = False) -> None:
        self.open = open
        self.sent = 0
        self.dropped = 0
        self.ok = 0
        self.failed = 0
        self.replies = 0
        self.by_action: dict[str, list[int]] = {action: [0, 0, 0] for action in actions}
        self.errors = Errors()
        self.failures = Histogram()
        self.response = Histogram()
        self.service = Histogram() if open else self.response
        self._begin()

    def _begin(self) -> None:
        """The histograms of an interval: each reply is recorded once, in these."""
        self._response = Histogram()
        self._service = Histogram() if self.open else self._response
        self._failures = Histogram()

    @property
    def in_flight(self) -> int:
        """Requests sent that have no outcome."""
        return self.sent - self.ok - self.failed

    def count_sent(self, times: int) -> None:
        """`times` requests were handed over; negative, if some of them never left."""
        self.sent += times

    def count_dropped(self) -> None:
        """A request was due and never left."""
        self.dropped += 1

    def count_action(self, action: str, what: int, times: int = 1) -> None:
        """`what` is SENT, OK or FAILED."""
        self.by_action[action][what] += times

    def only_action(self) -> None:
        """There is one action, so it has all that was counted."""
        for action in self.by_action:
            self.by_action[action] = [self.sent, self.ok, self.failed]

    def answered(self, response: int, service: int, times: int = 1) -> None:
        """`times` requests got the right answer after so many nanoseconds."""
        self.ok += times
        self.replies += times
        self._response.record(response, times)
        if self.open:
            self._service.record(service, times)

    def fail(self, name: str, incident: Incident, latencies: Sequence[int], *, replied: bool = False) -> None:
        """Requests failed by the same incident, each after so many nanoseconds.

        `replied`: with a whole reply, but not a right one.
        """
        times = len(latencies)
        self.failed += times
        if replied:
            self.replies += times
        for latency in latencies:
            self._failures.record(latency)
        self.errors.add(name, incident._replace(requests=times), times)

    def take_recent(self) -> Recent:
        """What was recorded since the last call; from now on it is part of the whole."""
        recent = Recent(self._response, self._service, self._failures)
        self._begin()
        self.response.merge(recent.response)
        if self.open:
            self.service.merge(recent.service)
        self.failures.merge(recent.failures)
        return recent

    def merge(self, other: Ledger) -> None:
        """Add another worker's ledger, both of them closed by `take_recent`."""
        self.sent += other.sent
        self.dropped += other.dropped
        self.ok += other.ok
        self.failed += other.failed
        self.replies += other.replies
        self.response.merge(other.response)
        if self.open:
            self.service.merge(other.service)
        self.failures.merge(other.failures)
        self.errors.merge(other.errors)
        for action, counts in other.by_action.items():
            mine = self.by_action.setdefault(action, [0, 0, 0])
            mine[:] = [a + b for a, b in zip(mine, counts, strict=True)]

    @classmethod
    def together(cls, ledgers: Sequence[Ledger]) -> Ledger:
        """That of several workers, all of them closed by `take_recent`."""
        whole = cls(open=ledgers[0].open)
        for ledger in ledgers:
            whole.merge(ledger)
        return whole

    def balance(self, in_flight: int, scheduled: int | None = None) -> Accounting:
        """Close the ledger. `in_flight` requests, counted independently, were still waiting.

        `scheduled` is the schedule's own count, if there is one. Raises `AccountingError` if anything
        does not add up.
        """
        self.take_recent()
        if scheduled is None:
            scheduled = self.sent + self.dropped
        accounting = Accounting(scheduled, self.sent, self.ok, self.failed, self.dropped, in_flight)
        actions = [sum(column) for column in zip(*self.by_action.values(), strict=True)] or [0, 0, 0]
        for left, right, what in (
            (scheduled, self.sent + self.dropped, "scheduled = sent + dropped"),
            (self.sent, self.ok + self.failed + in_flight, "sent = ok + failed + in_flight_at_end"),
            (self.ok, self.response.count, "ok = latencies recorded"),
            (self.ok, self.service.count, "ok = service times recorded"),
            (self.failed, self.failures.count, "failed = times to failure recorded"),
            (self.failed, self.errors.total, "failed = errors by name"),
            (actions, [self.sent, self.ok, self.failed] if self.by_action else actions, "the actions' sums"),
        ):
            if left != right:
                raise AccountingError(f"the accounting does not add up: {what} gives {left} = {right} in {accounting}")
        return accounting


@dataclass(slots=True)
class Connections:
    """What became of the connections, over the whole run (they outlive phases).

    `opened` counts successful connects, first ones and reconnects; `open_now` and `peak` are
    simultaneous ones, of the most that were `wanted`; `closed_by_peer`: the peer finished or reset
    first. `connect` is how long the successful connects took; `errors` are failures that cost no request.
    """

    opened: int = 0
    reconnects: int = 0
    closed_by_peer: int = 0
    open_now: int = 0
    peak: int = 0
    wanted: int = 0
    connect: Histogram = field(default_factory=Histogram)
    errors: Errors = field(default_factory=Errors)

    def want(self, count: int) -> None:
        """At least so many were asked for at a time."""
        self.wanted = max(self.wanted, count)

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

    @classmethod
    def together(cls, parts: Sequence[Connections]) -> Connections:
        """The sum of several workers."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def merge(self, other: Connections) -> None:
        """Add another worker's. Peaks add too: all workers hold theirs at the same time."""
        self.opened += other.opened
        self.reconnects += other.reconnects
        self.closed_by_peer += other.closed_by_peer
        self.open_now += other.open_now
        self.peak += other.peak
        self.wanted += other.wanted
        self.connect.merge(other.connect)
        self.errors.merge(other.errors)
