"""Thresholds: what is asked is what is looked at, and what can't be read is refused."""

import pytest

from multiconn.loadtest.judge.thresholds import Measured, abort_reason, parse
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import DRAINING, MEASURING, WARMUP, Interval


def latencies(*milliseconds):
    histogram = Histogram()
    for value in milliseconds:
        histogram.record(value * 1_000_000)
    return histogram


MEASURED = Measured(
    {"response": latencies(*range(1, 101)), "service": latencies(5), "failed": latencies()},
    {"error_rate": 0.02, "ok_per_s": 5e3, "achieved": 5100.0, "achieved/target": 0.98, "failed": 3.0, "dropped": 0.0},
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("response.p99<100ms", True),
        ("response.p99 < 98ms", False),
        ("response.p50<=0.051s", True),
        ("response.max>=100ms", True),
        ("response.min<1ms", False),
        ("response.mean<51ms", True),
        ("service.p99.9<6ms", True),
        ("service.p50>1us", True),
        ("service.p50<5001us", True),
        ("service.p100>6ms", False),
        ("failed.p50<1s", False),  # nothing failed: there is nothing to observe
        ("connect.p50<1s", False),
        ("error_rate<=2%", True),
        ("error_rate<0.02", False),
        ("ok_per_s>=5k", True),
        ("ok_per_s>5k/s", False),
        ("achieved>5050", True),
        ("achieved/target>=97.5%", True),
        ("failed<=3", True),
        ("dropped<=0", True),
    ],
)
def test_an_expression_holds_or_not(text, holds):
    expression = parse(text)
    assert expression.holds(expression.observe(MEASURED)) is holds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not METRIC"),
        ("response.p99", "not METRIC"),
        ("response.p99=20ms", "not METRIC"),
        ("response.p99<<20ms", "not a time"),
        ("response<20ms", "nothing that is measured"),
        ("response.p<20ms", "nothing that is measured"),
        ("response.p0<20ms", "nothing that is measured"),
        ("response.p100.1<20ms", "nothing that is measured"),
        ("response.max5<20ms", "nothing that is measured"),
        ("response.median<20ms", "nothing that is measured"),
        ("latency.p99<20ms", "nothing that is measured"),
        ("response.p99<20", "write its unit"),
        ("response.p99<20parsec", "not a time"),
        ("error_rate<1%%", "no number"),
        ("error_rate<-1", "no number"),
        ("ok_per_s>many", "no number"),
        ("__class__>1", "nothing that is measured"),
    ],
)
def test_what_can_not_be_read_is_refused_with_what_can(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_a_closed_run_has_no_target_to_compare_with():
    assert parse("achieved/target>=1").metric == "achieved/target"
    with pytest.raises(ValueError, match="needs --rate"):
        parse("achieved/target>=1", is_open=False)


def test_a_run_is_aborted_by_a_measured_interval_of_which_it_is_true():
    expressions = [parse("error_rate>10%"), parse("response.p99>1s")]
    bad = {"ok": 1, "failed": 1, "seconds": 1.0}
    for harmless in (
        Interval(t=1.0, phase=WARMUP, **bad),
        Interval(t=2.0, phase=MEASURING, seconds=1.0, ok=99, failed=1),
        Interval(t=2.5, phase=MEASURING, seconds=1.0),
        Interval(t=2.5, phase=MEASURING, seconds=0.0, failed=1),
        Interval(t=4.0, phase=DRAINING, **bad),
    ):
        assert abort_reason(expressions, harmless) is None
    why = abort_reason(expressions, Interval(t=3.0, phase=MEASURING, **bad))
    assert why == "--abort-on error_rate>10%: 0.5 at 3.0 s"
    assert abort_reason([], Interval(t=3.0, phase=MEASURING, **bad)) is None
