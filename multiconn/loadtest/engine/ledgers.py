"""Which ledger does a request go to, and how did the connections end?

A request belongs to the phase of its intended time: `measured` from `measured_from` on, else `warmup`.

Rules:

* One clock (ns) for all that is timed.
* Where a run has one action its figures are its ledger's, and are counted by action once, at the end.

Not here: what a ledger counts (`measure.ledger`), when measuring begins (`engine.runner`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..config import Config
from ..measure.errors import Incident
from ..measure.ledger import FAILED, SENT, Connections, Ledger
from .workload import Context, Prepared

__all__ = ["NEVER", "Ledgers"]

#: Later than any time stamp: nothing is measured yet.
NEVER = 1 << 62


class Ledgers:
    """The ledgers of a run. `measured_from` (ns) parts warm-up from measured, by intended time.

    `clock` tells the time and `began` is the run's beginning, both in nanoseconds; `mixed`: it has several actions.
    """

    def __init__(self, config: Config, actions: Sequence[str], clock: Callable[[], int], began: int) -> None:
        self.clock = clock
        self.began = began
        self.is_open = config.rate is not None
        self.mixed = len(actions) > 1
        self.warmup = Ledger(actions, open=self.is_open)
        self.measured = Ledger(actions, open=self.is_open)
        self.measured_from = NEVER
        self.connections = Connections()
        self._share = config.share
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Requests sent that have no outcome."""
        return self.warmup.in_flight + self.measured.in_flight

    def measure_from(self, at: int) -> None:
        """What is meant to leave at `at` (ns) or later is measured."""
        self.measured_from = at

    def of(self, intended: int) -> Ledger:
        return self.measured if intended >= self.measured_from else self.warmup

    def count_sent(self, prepared: Prepared, intended: int, times: int = 1) -> None:
        """`times` may be negative: what was handed over never left."""
        ledger = self.of(intended)
        ledger.count_sent(times)
        if self.mixed:
            ledger.count_action(prepared.action, SENT, times)

    def charge(self, slot_number: int, fault: tuple[str, str], contexts: Sequence[Context]) -> None:
        """Count what the end of a connection cost: the requests that were in flight, or the connection alone.

        `fault` is an error's name and details.
        """
        name, detail = fault
        now = self.clock()
        incident = self.incident(slot_number, detail, now)
        if not contexts:
            self.connections.errors.add(name, incident)
        for ledger in (self.warmup, self.measured):
            mine = [context for context in contexts if self.of(context[2]) is ledger]
            if mine:
                ledger.fail(name, incident, [now - intended for _, _, intended in mine])
                if self.mixed:
                    for prepared, _, _ in mine:
                        ledger.count_action(prepared.action, FAILED)

    def incident(self, slot_number: int, detail: str, now: int) -> Incident:
        """`detail` happened at `now` (ns); slots are numbered through all workers."""
        index, workers = self._share
        return Incident((now - self.began) / 1e9, slot_number * workers + index, detail)

    def close(self) -> None:
        """The run is over: what was not counted by action, because there is only one, is now. Twice is once."""
        if not self.mixed and not self._closed:
            self._closed = True
            for ledger in (self.warmup, self.measured):
                ledger.only_action()
