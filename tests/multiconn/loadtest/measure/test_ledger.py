"""The books: what adds up passes, and every way not to add up is noticed."""

import pytest

from multiconn.loadtest.measure.errors import Incident
from multiconn.loadtest.measure.ledger import Accounting, AccountingError, Connections, Ledger

HERE = Incident(1.5, 3, "the server closed the connection")


def test_a_ledger_that_adds_up_gives_its_accounting():
    ledger = Ledger()
    ledger.count_sent(10)
    ledger.answered(1000, 1000, 6)
    ledger.fail("reset", HERE, [500, 600])
    ledger.fail("verify_mismatch", HERE, [700], replied=True)
    assert ledger.balance(1) == Accounting(scheduled=10, sent=10, ok=6, failed=3, dropped=0, in_flight_at_end=1)
    assert ledger.replies == 7


def test_what_was_dropped_was_scheduled():
    ledger = Ledger()
    ledger.dropped = 4
    assert ledger.balance(0).scheduled == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda ledger: setattr(ledger, "sent", 4),
        lambda ledger: setattr(ledger, "ok", 1),
        lambda ledger: setattr(ledger, "failed", 2),
        lambda ledger: ledger.response.record(1),
        lambda ledger: ledger.failures.record(1),
        lambda ledger: ledger.errors.add("reset", HERE),
    ],
    ids=["sent", "ok", "failed", "latencies", "failure times", "errors by name"],
)
def test_a_ledger_that_does_not_add_up_is_an_internal_error(spoil):
    ledger = Ledger()
    ledger.count_sent(3)
    ledger.answered(10, 10, 2)
    ledger.fail("reset", HERE, [5])
    spoil(ledger)
    with pytest.raises(AccountingError, match="does not add up"):
        ledger.balance(0)


def test_requests_in_flight_that_nobody_knows_of_are_an_internal_error():
    ledger = Ledger()
    ledger.count_sent(3)
    with pytest.raises(AccountingError):
        ledger.balance(2)


def test_fast_failures_do_not_flatter_the_response_percentiles():
    ledger = Ledger()
    ledger.answered(1_000_000, 1_000_000, 10)
    ledger.fail("reset", HERE, [1] * 1000)
    ledger.take_recent()
    assert ledger.response.min == 1_000_000
    assert ledger.failures.count == 1000


def test_in_an_open_run_response_and_service_are_two():
    ledger = Ledger(open=True)
    ledger.count_sent(1)
    ledger.answered(1000, 10)
    recent = ledger.take_recent()
    assert (recent.response.max, recent.service.max) == (1000, 10)
    ledger.balance(0)


def test_a_schedule_that_counts_otherwise_is_an_internal_error():
    ledger = Ledger(open=True)
    ledger.dropped = 3
    assert ledger.balance(0, 3).scheduled == 3
    with pytest.raises(AccountingError, match="scheduled = sent"):
        ledger.balance(0, 4)


def test_actions_that_do_not_sum_up_are_an_internal_error():
    ledger = Ledger()
    ledger.count_sent(1)
    ledger.answered(1, 1)
    ledger.by_action = {"echo": [1, 0, 0], "search": [0, 1, 0]}
    ledger.balance(0)
    ledger.by_action = {"echo": [1, 0, 0]}
    with pytest.raises(AccountingError, match="actions"):
        ledger.balance(0)


def test_workers_books_add_up_to_one():
    books = []
    for n in (1, 2):
        ledger = Ledger(open=True)
        ledger.sent, ledger.dropped = 4 * n, n
        ledger.answered(100 * n, n, 3 * n)
        ledger.fail("reset", HERE, [5] * n)
        ledger.by_action = {"echo": [4 * n, 3 * n, n]}
        ledger.balance(0)
        books.append(ledger)
    whole, other = books
    whole.merge(other)
    assert whole.balance(0) == Accounting(15, 12, 9, 3, 3, 0)
    assert (whole.response.min, whole.response.max, whole.service.max) == (100, 200, 2)
    assert whole.errors.kept["reset"][0].requests == 1


def test_recent_latencies_are_handed_out_once_and_kept():
    ledger = Ledger()
    ledger.answered(100, 100)
    assert ledger.take_recent().response.count == 1
    assert ledger.take_recent().response.count == 0
    assert ledger.response.count == 1


def test_connections_know_how_many_were_open_at_a_time():
    connections = Connections()
    for again in (False, False, False):
        connections.opened_one(1000, again)
    connections.closed_one(by_peer=True)
    connections.closed_one(by_peer=False)
    connections.opened_one(2000, True)
    assert (connections.opened, connections.peak, connections.open_now) == (4, 3, 2)
    assert (connections.reconnects, connections.closed_by_peer) == (1, 1)
    assert connections.connect.count == 4
