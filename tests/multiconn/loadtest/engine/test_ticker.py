"""Ticks are equally far apart, on a clock that the test turns."""

import pytest

from eventloop import EventLoop
from multiconn.loadtest.engine.ticker import Ticker
from tests.fakes.clock import FakeClock
from tests.fakes.selector import FakeSelector


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def loop(clock):
    loop = EventLoop(FakeSelector(clock), clock)
    yield loop
    loop.close()


def turn(loop, clock, seconds):
    end = clock.now + seconds
    while clock.now < end:
        loop.run_once(timeout=end - clock.now)


def test_a_late_tick_delays_none_of_those_that_follow(loop, clock):
    began, ticks = clock.now, []

    def tick():
        ticks.append(clock.now - began)
        if len(ticks) == 2:
            clock.now += 0.7  # it takes so long

    ticker = Ticker(loop, 1.0, tick)
    ticker.restart()
    turn(loop, clock, 4.5)
    assert ticks == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=0.02)


def test_a_new_interval_begins_when_it_is_restarted(loop, clock):
    began, ticks = clock.now, []
    ticker = Ticker(loop, 1.0, lambda: ticks.append(clock.now - began))
    ticker.restart()
    turn(loop, clock, 0.6)
    ticker.restart()
    turn(loop, clock, 1.1)
    assert ticks == pytest.approx([1.6], abs=0.02)


def test_a_tick_may_restart_or_stop_its_ticker(loop, clock):
    began, ticks = clock.now, []

    def tick():
        ticks.append(clock.now - began)
        ticker.restart() if len(ticks) < 3 else ticker.stop()

    ticker = Ticker(loop, 1.0, tick)
    ticker.restart()
    turn(loop, clock, 6.0)
    ticker.stop()
    assert ticks == pytest.approx([1.0, 2.0, 3.0], abs=0.02)
