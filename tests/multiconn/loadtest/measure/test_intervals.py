"""Intervals add up."""

from multiconn.loadtest.measure.intervals import MEASURING, total
from tests.multiconn.loadtest.runs import histogram, interval


def test_intervals_of_several_workers_add_up():
    parts = [
        interval(1.0, MEASURING, 5, 10, errors={"reset": 1}, target=10.0, cpu=0.25),
        interval(1.1, MEASURING, 20, errors={"reset": 2, "bad_prefix": 1}, target=20.0, cpu=0.5),
    ]
    whole = total(parts)
    assert (whole.ok, whole.target, whole.cpu, whole.t) == (3, 30.0, 0.5, 1.1)
    assert whole.response.counts == histogram(5, 10, 20).counts
    assert whole.errors == {"reset": 3, "bad_prefix": 1}
