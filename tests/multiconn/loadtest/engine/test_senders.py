"""Coordinated omission: a stall shows in every request it delayed, and in the response times alone.

First in simulated time, where every number can be worked out by hand; then once for real.
"""

import heapq
import math
import threading
import time
from collections import deque

import pytest

from eventloop import EventLoop
from multiconn.loadtest.config import DROP, QUEUE, Config
from multiconn.loadtest.engine.collector import Collector
from multiconn.loadtest.engine.ledgers import Ledgers
from multiconn.loadtest.engine.schedule import Schedule
from multiconn.loadtest.engine.senders import OpenSender
from multiconn.loadtest.engine.slot import Slot
from multiconn.loadtest.engine.workload import Workload
from multiconn.loadtest.judge.verdict import judge
from multiconn.loadtest.measure.errors import BROKEN_PIPE, EOF_BEFORE_REPLY, RESET
from tests.fakes.clock import FakeClock
from tests.fakes.selector import FakeSelector
from tests.multiconn.loadtest.runs import Told, run
from tests.support import scripted
from tests.support.scripted import ScriptedServer

MS = 0.001


class FakeMessage:
    """A connection to a simulated server: one request takes `serve(now)` to be answered."""

    usable = granted = True

    def __init__(self, simulation, slot):
        self.simulation = simulation
        self.tag = slot
        self.waiting = deque()

    def send_all(self, pairs):
        for _, context in pairs:
            done = self.simulation.answered_at(self.simulation.clock.now)
            self.simulation.loop.call_at(done, self.reply, context)

    def reply(self, context):
        expected = context[0].expected
        self.simulation.collector.response(self.tag, context, {"result": expected})


class Simulation:
    """An open run of `seconds`; the server takes a millisecond, and answers nobody from `stall` to its end."""

    def __init__(self, connections=1, rate=100.0, seconds=10.0, stall=(5.0, 6.0), **options):
        self.clock = FakeClock()
        self.loop = EventLoop(FakeSelector(self.clock), self.clock)
        self.began = self.clock.now
        self.stall = stall
        config = Config(connections=connections, rate=rate, duration=seconds, warmup=0.0, **options)
        workload = Workload(config)
        clock_ns = lambda: round(self.clock() * 1e9)  # noqa: E731
        self.ledgers = Ledgers(config, workload.actions, clock_ns, clock_ns())
        self.ledgers.measure_from(clock_ns())
        self.slots = [Slot(number) for number in range(connections)]
        self.schedule = Schedule(
            config.load, kinds=lambda: workload.numbers(1), arrival=config.arrival, seed=config.seed, end=seconds
        )
        self.sender = OpenSender(config, workload, self.ledgers, self.loop, self.schedule)
        self.collector = Collector(self.ledgers, config.verify, self.sender.answered)
        for slot in self.slots:
            slot.hold(FakeMessage(self, slot))
            self.sender.opened(slot)
        self.sender.begin(clock_ns())
        while self.clock.now < self.began + seconds:
            self.loop.run_once(timeout=self.began + seconds - self.clock.now)
        self.sender.stop(clock_ns())
        self.loop.close()
        self.ledgers.close()
        self.accounting = self.ledgers.measured.balance(sum(slot.out for slot in self.slots), self.schedule.taken)

    def answered_at(self, now):
        start, end = (self.began + moment for moment in self.stall)
        return (end if start <= now + MS < end else now) + MS


def by_hand(connections, rate, seconds, stall):
    """Response and service times in seconds of every request answered: a queue with so many scripted."""
    free = [0.0] * connections
    responses, services = [], []
    for k in range(round(rate * seconds)):
        intended = k / rate
        sent = max(intended, heapq.heappop(free))
        done = (stall[1] if stall[0] <= sent + MS < stall[1] else sent) + MS
        heapq.heappush(free, done)
        if done < seconds:
            responses.append(done - intended)
            services.append(done - sent)
    return sorted(responses), sorted(services)


@pytest.mark.parametrize("connections", [1, 4])
def test_the_percentiles_of_a_stall_are_those_worked_out_by_hand(connections):
    simulation = Simulation(connections)
    responses, services = by_hand(connections, 100.0, 10.0, (5.0, 6.0))
    measured = simulation.ledgers.measured
    assert measured.response.count == len(responses) >= 999
    for percent in (1, 25, 50, 75, 90, 91, 95, 99, 99.5, 99.9, 100):
        rank = max(1, math.ceil(len(responses) * percent / 100)) - 1
        for histogram, truth in ((measured.response, responses), (measured.service, services)):
            got = histogram.percentile(percent) / 1e9
            assert truth[rank] - 1e-6 <= got <= truth[rank] * (1 + 1 / 1024) + 1e-6
    assert measured.response.percentile(95) > 0.4e9
    assert measured.service.percentile(99.4) < 2e6  # the stall is nearly invisible in it


def test_without_a_stall_the_two_are_one():
    measured = Simulation(stall=(99.0, 99.0)).ledgers.measured
    assert measured.response.percentile(100) == pytest.approx(1e6, rel=0.01)
    assert measured.response.counts == measured.service.counts


def test_the_generator_s_own_send_delay_is_not_what_waited_for_the_server():
    simulation = Simulation()
    send_delay = simulation.sender.take_send_delay()
    assert 885 <= send_delay.count <= 900  # those of the stalled second, and while it caught up, waited
    assert send_delay.max < 1e6
    assert simulation.sender.take_send_delay().count == 0


def test_what_finds_no_room_waits_or_is_dropped():
    queued = Simulation(on_overrun=QUEUE).accounting
    dropped = Simulation(on_overrun=DROP).accounting
    assert (queued.scheduled, queued.dropped) == (1000, 0)
    assert dropped.scheduled == 1000
    assert dropped.dropped == 100  # of those meant for that second all but the first


def test_a_dropped_request_is_in_no_percentile():
    assert Simulation(on_overrun=DROP).ledgers.measured.response.percentile(99.8) < 2e6


def test_what_still_waits_at_the_end_is_dropped():
    accounting = Simulation(stall=(9.0, 11.0)).accounting
    assert accounting.scheduled == 1000
    assert accounting.dropped == pytest.approx(99, abs=1)
    assert accounting.in_flight_at_end == 1


def test_no_more_than_max_in_flight_wait_for_a_reply():
    simulation = Simulation(connections=10, stall=(9.0, 11.0), max_in_flight=3)
    assert simulation.accounting.in_flight_at_end == 3


def test_requests_are_spread_over_the_connections():
    simulation = Simulation(connections=4, seconds=1.0, stall=(99.0, 99.0))
    assert [slot.replies for slot in simulation.slots] == [25] * 4


# --- for real ----------------------------------------------------------------------------


def stalling(seconds, after):
    """A server that answers at once, but nobody for `seconds`, `after` the first request of all."""
    began = []
    lock = threading.Lock()

    def behave(peer):
        while True:
            request = peer.request()
            with lock:
                began.append(time.monotonic())
            since = time.monotonic() - began[0]
            if after <= since < after + seconds:
                time.sleep(after + seconds - since)
            peer.reply(peer.right(request))

    return behave


def test_a_real_stall_is_in_the_response_and_not_in_the_service_times():
    with ScriptedServer(stalling(0.4, after=0.5)) as server:
        outcome = run(server.target, duration=1.6, connections=2, rate=200.0)
    measured = outcome.measured
    assert outcome.accounting.scheduled == 320
    # A quarter of the requests were meant for the stall, and waited up to 0.4 s: 200 ms at p87.5.
    assert measured.response.percentile(87.5) > 0.1e9
    assert 0.3e9 < measured.response.percentile(98) < 1.2e9
    assert measured.service.percentile(90) < 0.5 * measured.response.percentile(90)
    assert measured.service.max > 0.3e9  # the two in flight do see it


def test_an_open_run_sends_its_schedule_and_knows_its_rate():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, sinks=[told], duration=0.5, warmup=0.1, connections=4, pipeline=4, rate=400.0)
        again = run(server.target, duration=0.5, warmup=0.1, connections=2, rate=400.0)
    assert outcome.accounting.scheduled == 200
    assert outcome.target_rate == pytest.approx(400.0)
    assert outcome.schedule_sha256 == again.schedule_sha256
    assert sum(i.scheduled for i in told.intervals if i.phase in ("warm-up", "measuring")) == 240
    assert {i.target for i in told.intervals} == {400.0}


@pytest.mark.parametrize(
    ("behaviour", "pipeline", "losses"),
    [
        (scripted.one_shot, 4, set()),  # which grants nothing, so that no second request follows on a connection
        (scripted.closing_after(3), 1, set()),  # which says that the third reply is the last
        (scripted.closing_after(3), 4, {EOF_BEFORE_REPLY, RESET}),  # with others behind it on their way
        (scripted.reset_after(5), 4, {RESET, EOF_BEFORE_REPLY, BROKEN_PIPE}),
    ],
)
def test_connections_that_end_lose_no_request_of_an_open_run(behaviour, pipeline, losses):
    with ScriptedServer(behaviour) as server:
        outcome = run(server.target, requests=100, connections=4, pipeline=pipeline, rate=500.0)
    accounting = outcome.accounting
    assert (accounting.scheduled, accounting.sent, accounting.dropped, accounting.in_flight_at_end) == (100, 100, 0, 0)
    assert {name for name, times in outcome.measured.errors.counts.items() if times} <= losses
    if not losses:
        assert (accounting.ok, accounting.failed) == (100, 0)
    if behaviour is not scripted.one_shot:
        assert accounting.ok >= 40  # each connection has some replies before its end
    assert outcome.connections.opened > 4


def test_a_slow_server_is_named():
    def slow(peer):
        while True:
            request = peer.request()
            time.sleep(0.05)
            peer.reply(peer.right(request))

    with ScriptedServer(slow) as server:
        outcome = run(server.target, duration=0.6, connections=1, rate=200.0)
        closed = run(server.target, duration=0.4, connections=1)
    # What this machine does to the generator meanwhile is another test's.
    quiet = {"run_delay": 0.0, "lag_p99_s": 0.0, "send_delay_p99_s": 0.0}
    verdict = judge(outcome.figures._replace(**quiet))
    assert (verdict.valid, verdict.bottleneck) == (False, "server")
    assert "of 120 scheduled requests were sent" in verdict.reasons[0]
    assert judge(closed.figures._replace(**quiet)) == (True, [], "server")
