"""An interval is what counters grew by since the last one; none is counted twice, and none is lost."""

from types import SimpleNamespace

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.interval_recorder import IntervalRecorder
from multiconn.loadtest.engine.ledgers import Ledgers
from multiconn.loadtest.measure.errors import Incident
from multiconn.loadtest.measure.gauges import Readings
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import DRAINING, MEASURING, WARMUP
from tests.multiconn.loadtest.runs import histogram


class Run:
    """A run that stands still, but for what a test counts."""

    def __init__(self):
        self.ledgers = Ledgers(Config(), ["echo"], lambda: 0, 1_000_000_000)
        self.delays = []
        self.shared = SimpleNamespace(bytes_sent=0, bytes_received=0)
        sender = SimpleNamespace(waiting=lambda now: 2, take_send_delay=self.take_send_delay)
        peers = SimpleNamespace(idle_open=3, hostile_open=4)
        slots = SimpleNamespace(connecting=5, wanted=6)
        gauges = SimpleNamespace(take_recent=lambda: Readings(0.25, 0.125, Histogram()))
        self.recorder = IntervalRecorder(self.ledgers, slots, sender, self.shared, peers, gauges)

    def take_send_delay(self):
        taken, self.delays = histogram(*self.delays), []
        return taken

    def take(self, seconds, phase, target=None):
        return self.recorder.take(int((1 + seconds) * 1e9), phase, target)


@pytest.fixture
def run():
    return Run()


def test_it_has_what_was_counted_since_the_last_one(run):
    run.ledgers.warmup.count_sent(5)
    run.ledgers.warmup.answered(100, 100, 3)
    run.shared.bytes_sent = 70
    first = run.take(1.0, WARMUP, 50.0)
    assert (first.t, first.seconds, first.phase, first.target) == (1.0, 1.0, WARMUP, 50.0)
    assert (first.scheduled, first.sent, first.ok, first.in_flight, first.bytes_sent) == (7, 5, 3, 2, 70)
    assert (first.waiting, first.connecting, first.wanted, first.idle, first.hostile) == (2, 5, 6, 3, 4)
    assert (first.cpu, first.run_delay, first.response.count) == (0.25, 0.125, 3)
    second = run.take(1.5, WARMUP)
    assert (second.seconds, second.sent, second.ok, second.in_flight, second.response.count) == (0.5, 0, 0, 2, 0)


def test_a_late_reply_of_the_warm_up_is_a_reply_and_in_no_measured_latency(run):
    run.ledgers.warmup.answered(100, 100)
    run.ledgers.measured.answered(200, 200)
    measured = run.take(1.0, MEASURING)
    assert (measured.replies, measured.response.counts) == (2, {200: 1})
    run.ledgers.measured.answered(300, 300)
    assert run.take(1.1, DRAINING).response.counts == {300: 1}


def test_errors_of_all_ledgers_are_told_once_in_their_order(run):
    run.ledgers.measured.fail("reset", Incident(0.7, 1, "later"), [5])
    run.ledgers.connections.errors.add("connect_refused", Incident(0.2, 2, "earlier"))
    told = run.take(1.0, MEASURING)
    assert told.errors == {"reset": 1, "connect_refused": 1}
    assert [incident.detail for _, incident in told.incidents] == ["earlier", "later"]
    assert run.take(2.0, MEASURING).errors == {}


def test_the_send_delay_of_measured_intervals_adds_up_and_counts_each_request_once(run):
    for phase, delays in ((WARMUP, [1]), (MEASURING, [10, 20]), (MEASURING, [30]), (DRAINING, [40])):
        run.delays = delays
        assert run.take(1.0, phase).send_delay.count == len(delays)
    assert run.recorder.send_delay.counts == {10: 1, 20: 1, 30: 1}
