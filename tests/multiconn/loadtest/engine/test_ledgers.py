"""A request goes to the ledger of its intended time, and what a lost connection cost is counted once."""

from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.ledgers import NEVER, Ledgers
from multiconn.loadtest.engine.workload import Prepared

ECHO, SEARCH = Prepared("echo", "x", "x"), Prepared("search", "x", "x")


def ledgers(actions=("echo", "search"), **options):
    return Ledgers(Config(**options), actions, lambda: 5_000_000_000, 2_000_000_000)


def test_the_intended_time_decides_and_nothing_is_measured_before_it_is_said():
    made = ledgers()
    assert made.of(NEVER - 1) is made.warmup
    made.measure_from(100)
    assert made.of(99) is made.warmup
    assert made.of(100) is made.measured


def test_what_is_sent_is_counted_and_taken_back_if_it_never_left():
    made = ledgers()
    made.measure_from(100)
    made.count_sent(ECHO, 100, 3)
    made.count_sent(SEARCH, 99)
    made.count_sent(ECHO, 100, -1)
    assert (made.measured.sent, made.warmup.sent) == (2, 1)
    assert made.measured.by_action == {"echo": [2, 0, 0], "search": [0, 0, 0]}


def test_in_flight_is_what_was_sent_and_has_no_outcome():
    made = ledgers()
    made.measure_from(100)
    made.count_sent(ECHO, 99, 2)
    made.count_sent(ECHO, 100, 4)
    assert (made.warmup.in_flight, made.measured.in_flight, made.in_flight) == (2, 4, 6)
    made.measured.answered(1, 1, 2)
    made.charge(0, ("reset", "gone"), [(ECHO, 50, 50), (ECHO, 150, 150)])
    assert (made.warmup.in_flight, made.measured.in_flight, made.in_flight) == (1, 1, 2)


def test_a_lost_connection_costs_its_requests_or_is_an_error_of_its_own():
    made = ledgers(share=(1, 3))
    made.measure_from(100)
    made.charge(4, ("reset", "gone"), [(ECHO, 50, 50), (SEARCH, 150, 150), (SEARCH, 150, 160)])
    assert (made.warmup.failed, made.measured.failed, made.connections.errors.total) == (1, 2, 0)
    assert made.measured.by_action["search"] == [0, 0, 2]
    (incident,) = made.measured.errors.kept["reset"]
    assert (incident.at_s, incident.connection, incident.requests) == (3.0, 4 * 3 + 1, 2)
    made.charge(4, ("connect_refused", "nobody"), [])
    assert made.connections.errors.counts["connect_refused"] == 1
    assert made.measured.failed == 2


def test_one_action_has_all_that_was_counted_once_the_run_is_over():
    made = ledgers(actions=("echo",))
    made.measure_from(0)
    made.count_sent(ECHO, 1, 5)
    made.measured.answered(1, 1, 5)
    made.close()
    made.close()
    assert made.measured.by_action == {"echo": [5, 5, 0]}
