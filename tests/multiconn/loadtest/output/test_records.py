"""A record has every key, and its histograms come back whole."""

import json

import pytest

from multiconn.loadtest.measure.errors import Incident
from multiconn.loadtest.measure.intervals import CONNECTING, Interval
from multiconn.loadtest.output.records import (
    incident_record,
    interval_record,
    latency_histogram,
    latency_record,
    percent_key,
)
from tests.multiconn.loadtest.runs import histogram, second


def test_an_interval_s_record_is_what_docs_load_files_md_says():
    record = interval_record(second(2.0, waiting=3, in_flight=4, idle=5, errors={"reset": 1}), (50.0, 99.9))
    assert json.loads(json.dumps(record)) == record
    assert (record["t"], record["seconds"], record["phase"], record["rate"]) == (2.0, 1.0, "measuring", 1000.0)
    assert (record["counts"]["ok"], record["counts"]["waiting"], record["connections"]["idle"]) == (1000, 3, 5)
    assert list(record["latency_s"]) == ["response", "service", "failed"]
    assert list(record["latency_s"]["response"]["p"]) == ["50", "99.9"]
    assert record["generator"]["schedule_slip_p99_s"] == 0.0


def test_a_closed_run_has_no_target_and_no_schedule_to_be_late_for():
    record = interval_record(Interval(1.0, 1.0, CONNECTING), (50.0,))
    assert (record["target"], record["generator"]["schedule_slip_p99_s"]) == (None, None)


@pytest.mark.parametrize("values", [(), (0,), (1, 5, 123_456_789), (3_599_999_999_999,)])
def test_a_histogram_comes_back_with_every_count_and_its_longest_value(values):
    made = histogram(*values)
    again = latency_histogram(json.loads(json.dumps(latency_record(made, (50.0,)))))
    assert (again.counts, again.max) == (made.counts, made.max)


def test_an_incident_s_record_says_when_where_and_what_it_cost():
    assert incident_record("reset", Incident(0.1234567, 3, "gone", 2)) == {
        "at_s": 0.123457, "name": "reset", "connection": 3, "detail": "gone", "requests": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("percent", "key"), [(50.0, "50"), (99.9, "99.9"), (99.999, "99.999")])
def test_a_percentile_s_key_is_as_short_as_it_can_be(percent, key):
    assert percent_key(percent) == key
