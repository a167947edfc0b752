"""A plain number is read as it is written, and what is none is None."""

import pytest

from multiconn.loadtest.quantity import plain_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("500", 500.0), ("1.5k", 1500.0), ("2M", 2_000_000.0), ("0", 0.0), (".5", 0.5)],
)
def test_it_may_have_a_point_and_count_in_thousands_or_millions(text, number):
    assert plain_number(text) == number


def test_it_may_count_in_1024():
    assert plain_number("2k", 1024) == 2048
    assert plain_number("1m", 1024) == 1 << 20


@pytest.mark.parametrize("text", ["", "k", "x", "-1", "+1", "1e3", "1.2.3", "5g", "٣", "9" * 16, " 1"])
def test_what_is_no_plain_number_is_none(text):
    assert plain_number(text) is None
