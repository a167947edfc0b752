"""The generator's own state is measured, also when it stood still."""

import time

import pytest

from eventloop import EventLoop
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
    assert gauges.take_recent().loop_lag.max > 0.9e9
    gauges.start()
    turns(loop, 0.5)
    assert gauges.take_recent().loop_lag.count >= 49
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
    assert gauges.take_recent().run_delay == 0  # a system that does not tell
