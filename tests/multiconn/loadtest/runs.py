"""Runs against a server by script, and the outcome of a run that was made up."""

from datetime import UTC, datetime

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.runner import Runner
from multiconn.loadtest.measure.errors import NAMES, Incident
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURING, Interval
from multiconn.loadtest.measure.ledger import Connections, Ledger
from multiconn.loadtest.outcome import Outcome

FAST = {"warmup": 0.0, "timeout": 2.0, "connect_timeout": 2.0, "drain": 2.0, "duration": None, "connect_rate": 10_000.0}


class Told:
    """A sink that remembers."""

    def __init__(self):
        self.intervals = []

    def begin(self, plan):
        pass

    def interval(self, interval):
        self.intervals.append(interval)

    def end(self, outcome):
        pass


def run(target, sinks=(), **options) -> Outcome:
    config = Config(**{**FAST, **options})
    address = parse_address(target)
    outcome = Runner(config, address, resolve(address), sinks).run()
    accounting = outcome.accounting
    assert accounting.scheduled == accounting.sent + accounting.dropped
    assert accounting.sent == accounting.ok + accounting.failed + accounting.in_flight_at_end
    assert sum(outcome.measured.errors.counts.values()) == accounting.failed
    assert outcome.measured.response.count == accounting.ok
    assert outcome.measured.failures.count == accounting.failed
    assert set(outcome.errors) == set(NAMES)
    if config.requests is not None:
        assert accounting.sent <= config.requests
    return outcome


def occurred(outcome):
    return {name: count for name, count in outcome.errors.items() if count}


def finished(*, ok=990, failed=10, opened=100, **more):
    """A run of one second on 100 connections, with some resets."""
    measured, connections = Ledger(), Connections()
    connections.want(opened or 100)
    for _ in range(opened):
        connections.opened_one(250_000, again=False)
    measured.count_sent(ok + failed)
    if ok:
        measured.answered(1_500_000, 1_500_000, ok)
    if failed:
        measured.fail("reset", Incident(0.5, 7, "Connection reset by peer"), [50_000] * failed)
    facts = {"config": Config(), "duration_s": 1.0, "cpu": 0.5, "window_ok": ok, "window_replies": ok, **more}
    return Outcome(
        target="tcp://127.0.0.1:1",
        started_at=datetime.now(UTC),
        measured=measured,
        warmup=Ledger(),
        accounting=measured.balance(0),
        connections=connections,
        schedule_sha256="",
        **facts,
    )


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def interval(t, phase=MEASURING, *values, **more):
    return Interval(t, 1.0, phase, sent=len(values), ok=len(values), response=histogram(*values), **more)


def second(t, phase=MEASURING, ok=1000, **more):
    """An interval of a second in which all went well, but for `more`."""
    latencies = Histogram()
    if ok:
        latencies.record(1_000_000, ok)
        latencies.record(9_000_000)
    facts = {"target": 1000.0, "sent": ok, "ok": ok, "replies": ok, "open": 50, "wanted": 50, "cpu": 0.25}
    facts |= {"response": latencies, "service": latencies, **more}
    return Interval(t, facts.pop("seconds", 1.0), phase, **facts)
