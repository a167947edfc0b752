"""Errors are counted by name, and the first of each are kept."""

import pytest

from multiconn.loadtest.measure.errors import KEPT, NAMES, Errors, Incident

HERE = Incident(1.5, 3, "the server closed the connection")


def test_the_first_hundred_of_each_error_are_kept_and_all_are_counted():
    errors = Errors()
    for i in range(KEPT + 50):
        errors.add("reset", Incident(i, 0, "x" * 1000))
    errors.add("bad_prefix", HERE, 7)
    assert errors.counts["reset"] == KEPT + 50
    assert [kept.at_s for kept in errors.kept["reset"]] == list(range(KEPT))
    assert len(errors.kept["reset"][0].detail) == 300
    assert errors.total == KEPT + 57
    assert set(errors.counts) == set(NAMES)


def test_a_new_error_name_is_refused():
    with pytest.raises(KeyError):
        Errors().add("oops", HERE)


def test_errors_of_an_interval_are_told_once():
    errors = Errors()
    errors.add("reset", HERE, 3)
    assert errors.take_recent() == ({"reset": 3}, [("reset", HERE)])
    assert errors.take_recent() == ({}, [])
    errors.add("reset", HERE)
    assert errors.take_recent() == ({"reset": 1}, [("reset", HERE)])
