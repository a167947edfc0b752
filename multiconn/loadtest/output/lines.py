"""What does a person see as a run goes on, where there is no dashboard?

A line per interval: seconds into the run, what it is doing, the interval's rate and latency.

Not here: where a line goes (the commands), the report at the end (`output.report`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..measure.intervals import CONNECTING, Interval
from ..outcome import Outcome
from ..sink import Plan
from .units import time_text

__all__ = ["Lines", "line_of"]

#: Seconds: an interval that a phase's end cut off soon after it began would only confuse.
_TOO_SHORT = 0.05


class Lines:
    """A `Sink`: hands each line to `say`."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def begin(self, plan: Plan) -> None:
        """The header line was said."""

    def interval(self, interval: Interval) -> None:
        if interval.seconds >= _TOO_SHORT:
            self._say(line_of(interval))

    def end(self, outcome: Outcome) -> None:
        """The report follows."""


def line_of(interval: Interval) -> str:
    """The line of one interval: seconds into the run, what it is doing, rate and latency of this interval."""
    if interval.phase == CONNECTING:
        return f"{interval.t:6.1f} s  {interval.phase:<10}  {interval.open:,} of {interval.wanted:,} connections open"
    if not interval.replies:
        latency = "no replies"
    elif not interval.response.counts:
        latency = "no good replies"
    else:
        p50, p99 = (time_text(value / 1e9) for value in interval.response.percentiles((50, 99)))
        latency = f"p50 {p50:>7}  p99 {p99:>7}  max {time_text(interval.response.max / 1e9):>7}"
    target = f" of {interval.target:,.0f}" if interval.target is not None else ""
    extra = "".join(
        f"  {count:,} {word}"
        for count, word in ((interval.failed, "failed"), (interval.dropped, "dropped"), (interval.waiting, "late"))
        if count
    )
    return (
        f"{interval.t:6.1f} s  {interval.phase:<10}  {interval.rate:>9,.0f}{target}/s  {latency}  "
        f"{interval.open:,} open{extra}"
    )
