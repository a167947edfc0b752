"""What watches a run?

Everything that does, on the terminal or into files, is a `Sink` and sees the same `Interval`s.

    for sink in sinks:
        sink.begin(plan)            # once, before the first connection
        sink.interval(interval)     # each, in order, from the loop: be quick
        sink.end(outcome)           # once, after a run that came to its end (also an interrupted one)

A sink must not raise. Not here: what an interval has (`measure.intervals`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .config import Config
from .measure.intervals import Interval
from .outcome import Outcome

__all__ = ["Plan", "Sink"]


class Plan(NamedTuple):
    """What is about to be done. `started_at` is seconds since 1970."""

    config: Config
    target: str
    started_at: float


class Sink(Protocol):
    """What watches a run."""

    def begin(self, plan: Plan) -> None: ...

    def interval(self, interval: Interval) -> None: ...

    def end(self, outcome: Outcome) -> None: ...
