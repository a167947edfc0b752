"""Connections are opened at the rate asked for, on a clock that the test turns."""

import selectors

from eventloop import EventLoop
from multiconn.loadtest.engine.dialler import CATCH_UP, RETRY_AFTER, Dialler


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class NoWaiting(selectors.SelectSelector):
    """Instead of waiting, time passes."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def select(self, timeout=None):
        self.clock.now += timeout or 0
        return []


def dial(rate, count, seconds, *, later=0, stall=0.0):
    """When each of `count` slots was dialled, in seconds."""
    clock = Clock()
    loop = EventLoop(NoWaiting(clock), clock)
    dialled = []
    dialler = Dialler(loop, rate, lambda slot: dialled.append((slot, clock.now - 100.0)))
    dialler.add(range(count))
    clock.now += stall
    for slot in range(later):
        dialler.add_later(count + slot)
    while clock.now < 100.0 + seconds:
        loop.run_once(0.05)
    dialler.close()
    loop.close()
    return dialled


def test_places_are_served_in_order_and_no_faster_than_the_rate():
    dialled = dial(rate=1000, count=500, seconds=2)
    assert [slot for slot, _ in dialled] == list(range(500))
    for number, (_, at) in enumerate(dialled):
        assert at >= (number - 1) / 1000 - 1e-9
    assert 0.49 <= dialled[-1][1] <= 0.52


def test_a_slow_rate_is_kept_too():
    times = [at for _, at in dial(rate=2, count=4, seconds=5)]
    assert [round(at, 1) for at in times] == [0.0, 0.5, 1.0, 1.5]


def test_a_loop_that_was_held_up_catches_up_without_a_storm():
    dialled = dial(rate=1000, count=5000, seconds=1.2, stall=1.0)
    burst = [at for _, at in dialled if 1.0 <= at < 1.0 + 1e-6]
    assert len(burst) <= 1000 * CATCH_UP + 1


def test_a_place_whose_connection_failed_waits_first():
    dialled = dial(rate=1000, count=1, seconds=1, later=2)
    assert [slot for slot, _ in dialled] == [0, 1, 2]
    assert all(at >= RETRY_AFTER - 1e-9 for _, at in dialled[1:])


def test_a_closed_dialler_dials_no_more():
    clock = Clock()
    loop = EventLoop(NoWaiting(clock), clock)
    dialled = []
    dialler = Dialler(loop, 10, dialled.append)
    dialler.add(range(5))
    dialler.close()
    dialler.add([9])
    for _ in range(20):
        loop.run_once(0.1)
    loop.close()
    assert dialled == [0]
