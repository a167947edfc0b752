"""Does the one clock move forward alone, in its three ways?"""

from __future__ import annotations

import pytest

from suites.simulation.clock import CALL, SimClock


def test_a_call_takes_a_little_time_and_waiting_as_much_as_it_takes() -> None:
    clock = SimClock(100.0)
    clock.tick()
    assert clock() == 100.0 + CALL
    clock.reach(105.0)
    assert clock() == 105.0
    clock.reach(101.0)
    assert clock() == 105.0, "who is later stays"
    assert clock.started == 100.0


def test_a_leap_is_forward() -> None:
    clock = SimClock()
    begun = clock()
    clock.leap(3600.0)
    assert clock() == begun + 3600.0
    with pytest.raises(ValueError, match="monotonic"):
        clock.leap(-0.001)
