"""What happened in the last interval, and who wants to know?

A run is cut into intervals, about a second each; none belongs to two phases. Everything that
watches a run is a `Sink` and sees the same `Interval`s: the plain lines, the live dashboard, the
files, the check of `--abort-on`. With several worker processes an interval is the sum of theirs.

    for sink in sinks:
        sink.begin(plan)            # once, before the first connection
        sink.interval(interval)     # each, in order, from the loop: be quick
        sink.end(outcome)           # once, after a run that came to its end (also an interrupted one)

Rules:

* An `Interval` is plain data that nobody changes any more. Its histograms are its own: those of
  the intervals with phase `measuring` and `draining`, added up, are the run's.
* `t` is seconds from the run's beginning to the interval's end. Counts are of the interval;
  `in_flight`, `waiting` and the connections are how things stood at its end.
* A sink must not raise. What it must tell the run (stop now) it tells by a callable it was given.

Not here: cutting (`engine.interval_recorder`), the files (`output.files`), the words (`output.report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .errors import Incident
from .histogram import Histogram

if TYPE_CHECKING:
    from ..config import Config
    from ..outcome import Outcome

__all__ = [
    *("CONNECTING", "DRAINING", "MEASURED", "MEASURING", "OVER", "PAUSED", "WARMUP"),
    *("Interval", "Plan", "Sink", "total"),
]

CONNECTING, WARMUP, MEASURING, DRAINING, OVER = "connecting", "warm-up", "measuring", "draining", "over"
#: Between two visits of a run that takes turns with another; no interval has it.
PAUSED = "paused"

#: The phases whose intervals hold the requests that count.
MEASURED = (MEASURING, DRAINING)


class Plan(NamedTuple):
    """What is about to be done. `started_at` is seconds since 1970."""

    config: Config
    target: str
    started_at: float


@dataclass(slots=True)
class Interval:
    """One slice of a run: seconds, counts, bytes, histograms of nanoseconds.

    `target` is the rate asked for at its end, None in a closed run. `scheduled` requests were
    intended to be sent within it; `replies` are whole replies, right or wrong; `waiting` requests
    are due and have found no room. `response` and `service` are of the right replies, `failures`
    how long the failed requests took. `errors` has the names that occurred; `incidents` those kept
    with details. `cpu` and `run_delay` are shares of a core: used, and wanted but not got;
    `loop_lag` and `send_delay` say how late the loop and the schedule were.
    """

    t: float
    seconds: float
    phase: str
    target: float | None = None
    scheduled: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    dropped: int = 0
    replies: int = 0
    in_flight: int = 0
    waiting: int = 0
    connecting: int = 0
    open: int = 0
    wanted: int = 0
    idle: int = 0
    hostile: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    cpu: float = 0.0
    run_delay: float = 0.0
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    failures: Histogram = field(default_factory=Histogram)
    loop_lag: Histogram = field(default_factory=Histogram)
    send_delay: Histogram = field(default_factory=Histogram)
    errors: dict[str, int] = field(default_factory=dict)
    incidents: list[tuple[str, Incident]] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Replies per second."""
        return self.replies / self.seconds if self.seconds > 0 else 0.0


class Sink(Protocol):
    """Who watches a run."""

    def begin(self, plan: Plan) -> None: ...

    def interval(self, interval: Interval) -> None: ...

    def end(self, outcome: Outcome) -> None: ...


_SUMS = (
    *("scheduled", "sent", "ok", "failed", "dropped", "replies", "in_flight", "waiting"),
    *("connecting", "open", "wanted", "idle", "hostile", "bytes_sent", "bytes_received"),
)
_HISTOGRAMS = ("response", "service", "failures", "loop_lag", "send_delay")


def total(parts: Sequence[Interval]) -> Interval:
    """One interval out of those of several workers: counts and histograms add, the busiest core is told."""
    if len(parts) == 1:
        return parts[0]
    whole = Interval(max(part.t for part in parts), max(part.seconds for part in parts), parts[0].phase)
    for part in parts:
        for name in _SUMS:
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        for name in _HISTOGRAMS:
            getattr(whole, name).merge(getattr(part, name))
        for error, times in part.errors.items():
            whole.errors[error] = whole.errors.get(error, 0) + times
        whole.incidents += part.incidents
    whole.incidents.sort(key=lambda named: named[1].at_s)
    targets = [part.target for part in parts if part.target is not None]
    whole.target = sum(targets) if targets else None
    whole.cpu = max(part.cpu for part in parts)
    whole.run_delay = max(part.run_delay for part in parts)
    return whole
