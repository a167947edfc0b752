"""A line says what the run is doing, and how fast."""

from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, MEASURING, Interval
from multiconn.loadtest.output.lines import line_of


def test_progress_says_what_it_is_doing():
    latencies = Histogram()
    latencies.record(1_000_000, 50)
    measuring = line_of(Interval(2, 1, MEASURING, ok=50, replies=50, response=latencies))
    assert "50/s" in measuring
    assert "p99 1.00 ms" in measuring
    assert "failed" not in measuring
    assert "3 of 10 connections" in line_of(Interval(2, 1, CONNECTING, open=3, wanted=10))
    assert "no replies" in line_of(Interval(2, 1, MEASURING))
    wrong = line_of(Interval(2, 1, MEASURING, failed=7, replies=7))
    assert "no good replies" in wrong
    assert "7 failed" in wrong
    late = line_of(Interval(2, 1, MEASURING, target=1000.0, dropped=2, waiting=3))
    assert "of 1,000/s" in late
    assert "2 dropped  3 late" in late
