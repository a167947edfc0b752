"""Intervals add up."""

import dataclasses

import pytest

from multiconn.loadtest.measure.intervals import MEASURING, joined, total
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


def test_intervals_that_follow_each_other_are_one_that_ends_as_the_last_did():
    parts = [
        interval(1.0, MEASURING, 5, 10, errors={"reset": 1}, target=10.0, cpu=0.5, open=3, bytes_sent=7),
        interval(2.0, MEASURING, 20, errors={"reset": 2}, target=20.0, cpu=0.25, open=9, bytes_sent=8),
    ]
    whole = joined(parts)
    assert (whole.t, whole.seconds, whole.phase, whole.target) == (2.0, 2.0, MEASURING, 20.0)
    assert (whole.ok, whole.open, whole.cpu, whole.bytes_sent, whole.errors) == (3, 9, 0.5, 15, {"reset": 3})
    assert whole.response.counts == histogram(5, 10, 20).counts
    assert parts[0].response.count == 2, "what was told is not changed"
    assert joined(parts[:1]) is parts[0]


def test_an_interval_is_not_changed_once_it_is_told():
    with pytest.raises(dataclasses.FrozenInstanceError):
        interval(1.0).ok = 5
