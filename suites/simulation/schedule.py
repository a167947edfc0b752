"""What is due when, outside the programs: a segment's arrival, a peer's next step, a fault?

Events of one time happen in the order they were asked for, so that a run is one sequence.

Not here: the programs' own timers (`eventloop.timers`), who turns when (`world`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from .clock import SimClock

__all__ = ["Schedule"]


class Schedule:
    """A heap of events on `clock`."""

    __slots__ = ("_heap", "_order", "clock")

    def __init__(self, clock: SimClock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = 0

    def at(self, when: float, act: Callable[..., object], *args: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, act, args))

    def after(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        self.at(self.clock.now + seconds, act, *args)

    def next_due(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def run_due(self) -> None:
        """Let everything happen that is due by now, and what becomes due at once by that."""
        heap, now = self._heap, self.clock.now
        while heap and heap[0][0] <= now:
            _, _, act, args = heapq.heappop(heap)
            act(*args)
