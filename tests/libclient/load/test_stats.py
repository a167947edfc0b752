"""The books: what adds up passes, and every way not to add up is noticed."""

from itertools import pairwise

import pytest

from libclient.load.errors import KEPT, NAMES, Errors, Incident
from libclient.load.stats import Accounting, AccountingError, Connections, Interval, Ledger, Series

HERE = Incident(1.5, 3, "the server closed the connection")


def test_a_ledger_that_adds_up_gives_its_accounting():
    ledger = Ledger()
    ledger.sent = 10
    ledger.answered(1000, 6)
    ledger.fail("reset", 500, HERE, 2)
    ledger.fail("verify_mismatch", 700, HERE, replied=True)
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
    ledger.sent = 3
    ledger.answered(10, 2)
    ledger.fail("reset", 5, HERE)
    spoil(ledger)
    with pytest.raises(AccountingError, match="does not add up"):
        ledger.balance(0)


def test_requests_in_flight_that_nobody_knows_of_are_an_internal_error():
    ledger = Ledger()
    ledger.sent = 3
    with pytest.raises(AccountingError):
        ledger.balance(2)


def test_fast_failures_do_not_flatter_the_response_percentiles():
    ledger = Ledger()
    ledger.answered(1_000_000, 10)
    ledger.fail("reset", 1, HERE, 1000)
    ledger.take_recent()
    assert ledger.response.min == 1_000_000
    assert ledger.failures.count == 1000


def test_what_comes_after_the_window_counts_but_not_for_rates():
    ledger = Ledger()
    ledger.answered(10, 5)
    ledger.fail("server_error", 10, HERE, replied=True)
    ledger.close_window()
    ledger.answered(10, 3)
    assert (ledger.window_ok, ledger.window_replies, ledger.ok, ledger.replies) == (5, 6, 8, 9)


def test_recent_latencies_are_handed_out_once_and_kept():
    ledger = Ledger()
    ledger.answered(100)
    assert ledger.take_recent().count == 1
    assert ledger.take_recent().count == 0
    assert ledger.response.count == 1


def test_the_first_hundred_of_each_error_are_kept_and_all_are_counted():
    errors = Errors()
    for i in range(KEPT + 50):
        errors.add("reset", Incident(i, 0, "x" * 1000))
    errors.add("bad_prefix", HERE, 7)
    assert errors.counts["reset"] == KEPT + 50
    assert [kept.at_s for kept in errors.kept["reset"]] == list(range(KEPT))
    assert len(errors.kept["reset"][0].detail) == 300
    assert errors.total == KEPT + 57
    assert errors.occurred() == [("reset", KEPT + 50), ("bad_prefix", 7)]
    assert set(errors.counts) == set(NAMES)


def test_a_new_error_name_is_refused():
    with pytest.raises(KeyError):
        Errors().add("oops", HERE)


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


def interval(second, sent=1):
    return Interval(second, second + 1, sent, 1, 1, 2, 5, second)


def test_a_series_keeps_every_interval_while_there_is_room():
    series = Series(4)
    for second in range(4):
        series.add(interval(second))
    assert [p.start_s for p in series.points] == [0, 1, 2, 3]
    assert series.points[0].rate == 2.0


@pytest.mark.parametrize("intervals", [1, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 100, 511, 512, 513, 1000])
def test_a_full_series_halves_its_resolution_and_loses_no_count(intervals):
    series = Series(8)
    for second in range(intervals):
        series.add(interval(second, sent=second))
    points = series.points
    assert len(points) <= 8
    assert sum(p.sent for p in points) == sum(range(intervals))
    assert points[0].start_s == 0
    assert points[-1].end_s == intervals
    assert all(a.end_s == b.start_s for a, b in pairwise(points))
    assert max(p.max_ns for p in points) == intervals - 1
    assert len({p.end_s - p.start_s for p in points[:-1]}) <= 1


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_series_that_could_not_be_halved_is_refused(limit):
    with pytest.raises(ValueError, match="even"):
        Series(limit)


def test_an_interval_of_no_length_has_no_rate():
    assert Interval(1, 1, 0, 0, 0, 0, 0, 0).rate == 0.0
