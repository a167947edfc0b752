"""The generator's own state is measured, also when it stood still; and it wakes up on time."""

import selectors
import socket
import time

import pytest

from eventloop import EventLoop
from multiconn.loadtest.engine import waiting
from multiconn.loadtest.engine.waiting import precise_selector
from multiconn.loadtest.measure.gauges import PROBE_EVERY, Gauges
from tests.fakes.clock import FakeClock
from tests.fakes.selector import FakeSelector


@pytest.fixture
def loop():
    clock = FakeClock()
    loop = EventLoop(FakeSelector(clock), clock)
    yield loop
    loop.close()


def turns(loop, seconds):
    end = loop.clock.now + seconds
    while loop.clock.now < end:
        loop.run_once(timeout=end - loop.clock.now)


def test_a_loop_that_is_on_time_has_no_lag(loop):
    gauges = Gauges(loop)
    gauges.probe()
    gauges.start()
    turns(loop, 1.0)
    gauges.stop()
    assert gauges.loop_lag.count == pytest.approx(1 / PROBE_EVERY, abs=2)
    assert gauges.loop_lag.max < 1000  # ns


def test_a_standstill_of_a_second_weighs_a_second(loop):
    gauges = Gauges(loop)
    gauges.probe()
    gauges.start()
    turns(loop, 4.5)
    loop.clock.advance(1.0)  # nobody was served meanwhile
    turns(loop, 4.5)
    gauges.stop()
    # The last tenth of all probes were due in it, and each was as late as it was.
    assert gauges.loop_lag.percentile(89) < 1_000_000
    assert gauges.loop_lag.percentile(95) == pytest.approx(0.5e9, rel=0.05)
    assert gauges.loop_lag.percentile(99) == pytest.approx(0.9e9, rel=0.05)


def test_what_came_before_the_window_is_no_part_of_it(loop):
    gauges = Gauges(loop)
    gauges.probe()
    turns(loop, 0.5)
    loop.clock.advance(1.0)
    turns(loop, 0.1)
    assert gauges.cut().loop_lag.max > 0.9e9
    gauges.start()
    turns(loop, 0.5)
    assert gauges.cut().loop_lag.count >= 49
    turns(loop, 0.5)
    gauges.stop()
    assert gauges.loop_lag.count >= 99
    assert gauges.loop_lag.max < 1000


def test_the_time_without_a_processor_is_read_from_the_kernel(loop, tmp_path):
    schedstat = tmp_path / "schedstat"
    schedstat.write_text("5 0 7\n")
    gauges = Gauges(loop, schedstat)
    gauges.start()
    time.sleep(0.01)
    schedstat.write_text("5 4000000 7\n")
    gauges.stop()
    assert gauges.run_delay == pytest.approx(0.004 / gauges.duration_s)
    schedstat.unlink()
    assert gauges.cut().run_delay == 0  # a system that does not tell


def test_a_loop_can_wake_up_between_two_milliseconds():
    late = []
    loop = EventLoop(precise_selector())
    try:
        while min(late, default=1.0) >= 0.0005 and len(late) < 500:  # beside others it gets the processor late, mostly
            number = len(late)
            due = time.monotonic() + 0.0013
            loop.call_at(due, lambda due=due: late.append(time.monotonic() - due))
            while len(late) <= number:
                loop.run_once()
    finally:
        loop.close()
    assert min(late) < 0.0005  # epoll alone: 0.7 ms each time


def test_the_precise_selector_hears_of_what_is_ready_while_it_sleeps():
    ours, theirs = socket.socketpair()
    with ours, theirs, precise_selector() as selector:
        selector.register(ours, selectors.EVENT_READ, "us")
        assert selector.select(0.001) == []
        theirs.send(b"x")
        began = time.monotonic()
        ((key, mask),) = selector.select(5.0)
        assert (key.data, mask) == ("us", selectors.EVENT_READ)
        assert time.monotonic() - began < 1


def test_where_its_descriptor_is_too_high_the_ordinary_one_serves(monkeypatch):
    monkeypatch.setattr(waiting, "_HIGHEST", -1)
    with precise_selector() as selector:
        assert type(selector) is selectors.DefaultSelector
