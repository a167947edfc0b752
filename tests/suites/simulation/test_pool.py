"""Do as many handlers run as there are threads, and do their results come back in simulated time?"""

from __future__ import annotations

import threading
from random import Random
from typing import Any

import pytest

from suites.simulation.clock import SimClock
from suites.simulation.faults import NONE, Faults
from suites.simulation.pool import SimPool
from suites.simulation.schedule import Schedule


class Bench:
    def __init__(self, threads: int, luck: Random | None = None) -> None:
        self.clock = SimClock(0.0)
        self.schedule = Schedule(self.clock)
        self.faults = Faults(Random(3), NONE)
        self.back: list[Any] = []
        self.pool = SimPool(threads, self.hand_back, self.schedule, self.faults, luck)

    def hand_back(self, done: Any, *args: Any) -> None:
        self.back.append((done, args))

    def run(self) -> None:
        while (due := self.schedule.next_due()) is not None:
            self.clock.reach(due)
            self.schedule.run_due()


def test_results_come_back_later_with_what_was_raised() -> None:
    bench = Bench(2)
    failure = ValueError("no")

    def fail() -> object:
        raise failure

    bench.pool.submit(lambda: 7, "done", "context")  # type: ignore[arg-type]
    bench.pool.submit(fail, "done")  # type: ignore[arg-type]
    assert (bench.back, bench.pool.outstanding) == ([], 2)
    bench.run()
    assert sorted(bench.back, key=str) == [("done", ("context", 7, None)), ("done", (None, failure))]
    assert bench.clock.now > 0


def test_no_more_run_than_there_are_threads() -> None:
    bench = Bench(2)
    begun: list[int] = []
    for number in range(5):
        bench.pool.submit(lambda number=number: begun.append(number), "done")  # type: ignore[arg-type,misc]
    assert begun == [0, 1]
    bench.run()
    assert begun == [0, 1, 2, 3, 4]
    assert len(bench.back) == 5


@pytest.mark.parametrize("luck", [None, Random(1)])
def test_a_handler_runs_in_a_thread_of_its_own_at_the_beginning_or_at_the_end_of_its_time(luck: Random | None) -> None:
    bench = Bench(20, luck)
    ran: list[tuple[float, int]] = []
    for _ in range(20):
        bench.pool.submit(lambda: ran.append((bench.clock.now, threading.get_ident())), "done")  # type: ignore[arg-type]
    bench.run()
    assert any(when > 0 for when, _ in ran) is (luck is not None)
    assert any(when == 0 for when, _ in ran)
    assert threading.get_ident() not in {thread for _, thread in ran}
    assert len(bench.back) == 20


def test_some_stall_for_seconds_and_that_is_a_fault() -> None:
    bench = Bench(1000)
    seconds = [bench.pool._seconds() for _ in range(1000)]
    stalled = [one for one in seconds if one > 0.02]
    assert 0 < len(stalled) <= bench.faults.hits["handler: stalled in a thread"] < 200
    assert max(seconds) < 40
