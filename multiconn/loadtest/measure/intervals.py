"""What happened in the last interval of a run?

A run consists of intervals, about a second each; none belongs to two phases. With several worker processes an interval
is the sum of theirs.

Rules:

* An `Interval` is plain data, and frozen. Its histograms are its own: those of
  the intervals with phase `measuring` and `draining`, added up, are the run's.
* `t` is seconds from the run's beginning to the interval's end. Counts are of the interval;
  `in_flight`, `waiting` and the connections are how things stood at its end.

Not here: taking one (`engine.interval_recorder`), what sees it (`sink`), how it is written (`output.records`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import Incident
from .histogram import Histogram, merged

__all__ = [
    *("CONNECTING", "DRAINING", "MEASURED", "MEASURING", "OVER", "PAUSED", "WARMUP"),
    *("Interval", "joined", "sum_of_errors", "total"),
]

CONNECTING, WARMUP, MEASURING, DRAINING, OVER = "connecting", "warm-up", "measuring", "draining", "over"
#: Between two visits of a run that takes turns with another; no interval has it.
PAUSED = "paused"

#: The phases with the measured requests.
MEASURED = (MEASURING, DRAINING)


@dataclass(frozen=True, slots=True)
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


_COUNTS = ("scheduled", "sent", "ok", "failed", "dropped", "replies", "bytes_sent", "bytes_received")
#: How things stood at the end.
_STATES = ("in_flight", "waiting", "connecting", "open", "wanted", "idle", "hostile")
_HISTOGRAMS = ("response", "service", "failures", "loop_lag", "send_delay")


def total(parts: Sequence[Interval]) -> Interval:
    """One interval out of several workers' intervals: counts and histograms add, the busiest core's share stays."""
    if len(parts) == 1:
        return parts[0]
    targets = [part.target for part in parts if part.target is not None]
    sums: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in (*_COUNTS, *_STATES)}
    return Interval(
        t=max(part.t for part in parts),
        seconds=max(part.seconds for part in parts),
        phase=parts[0].phase,
        target=sum(targets) if targets else None,
        **_together(parts),
        **sums,
    )


def joined(parts: Sequence[Interval]) -> Interval:
    """One interval out of several of one phase that follow each other: it ends as the last of them did."""
    last = parts[-1]
    if len(parts) == 1:
        return last
    facts: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in _COUNTS}
    facts |= {name: getattr(last, name) for name in _STATES}
    seconds = sum(part.seconds for part in parts)
    return Interval(t=last.t, seconds=seconds, phase=last.phase, target=last.target, **_together(parts), **facts)


def _together(parts: Sequence[Interval]) -> dict[str, Any]:
    """What adds up alike whether intervals are of the same time or follow each other."""
    return {
        "cpu": max(part.cpu for part in parts),
        "run_delay": max(part.run_delay for part in parts),
        "errors": sum_of_errors(part.errors for part in parts),
        "incidents": sorted((kept for part in parts for kept in part.incidents), key=lambda named: named[1].at_s),
        **{name: merged(getattr(part, name) for part in parts) for name in _HISTOGRAMS},
    }


def sum_of_errors(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """How often each name occurred, all together."""
    whole: dict[str, int] = {}
    for part in parts:
        for error, times in part.items():
            whole[error] = whole.get(error, 0) + times
    return whole
