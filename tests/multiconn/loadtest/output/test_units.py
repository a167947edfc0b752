"""Times and sizes are shown in the unit that suits."""

import pytest

from multiconn.loadtest.output.units import bytes_text, time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (1e-9, "0.00 us"), (87.34e-6, "87.3 us"), (0.00099951, "1.00 ms"), (0.0012345, "1.23 ms"),
        (0.0999, "99.9 ms"), (0.12345, "123 ms"), (0.9999, "1.00 s"), (61, "61.0 s"), (1800, "30.0 m"),
        (3600 * 11, "11.0 h"),
    ],
)  # fmt: skip
def test_times_have_three_digits_and_the_unit_that_suits(seconds, text):
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (5 * 1024**2, "5.0 MB"), (2**42, "4,096.0 GB")]
)
def test_bytes_are_in_units_of_1024(count, text):
    assert bytes_text(count) == text
