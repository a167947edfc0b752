"""Does what is due happen in the order of its time, and of being asked for?"""

from __future__ import annotations

from suites.simulation.clock import SimClock
from suites.simulation.schedule import Schedule


def test_what_is_due_happens_in_order_and_what_is_not_yet_does_not() -> None:
    clock = SimClock(0.0)
    schedule = Schedule(clock)
    seen: list[object] = []
    schedule.at(2.0, seen.append, "second")
    schedule.after(1.0, seen.append, "first")
    schedule.at(2.0, seen.append, "third")
    schedule.at(2.5, seen.append, "later")
    assert schedule.next_due() == 1.0
    schedule.run_due()
    assert seen == []
    clock.reach(2.0)
    schedule.run_due()
    assert seen == ["first", "second", "third"]
    assert schedule.next_due() == 2.5


def test_what_becomes_due_at_once_happens_at_once() -> None:
    schedule = Schedule(SimClock(0.0))
    seen: list[object] = []

    def again(left: int) -> None:
        seen.append(left)
        if left:
            schedule.after(0.0, again, left - 1)

    schedule.after(0.0, again, 2)
    schedule.run_due()
    assert seen == [2, 1, 0]
    assert schedule.next_due() is None
