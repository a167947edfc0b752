"""The histogram against exact sorted values, within three significant digits everywhere."""

import math
import random
from fractions import Fraction

import pytest

from multiconn.loadtest.measure.histogram import BINS, HIGHEST, Histogram, bin_of, bounds_of, rank_of

PERCENTS = (0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100)


def filled(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def exact(values, percent):
    """The definition, on the sorted values: the smallest that `percent` % of them do not exceed."""
    ordered = sorted(values)
    for count, value in enumerate(ordered, 1):
        if count >= Fraction(str(percent)) * len(ordered) / 100:
            return value
    raise AssertionError


@pytest.mark.parametrize(
    "value", [0, 1, 2, 1023, 1024, 2047, 2048, 2049, 4095, 4096, 10**6, 10**9, HIGHEST - 1, HIGHEST]
)
def test_a_value_lies_within_its_slot(value):
    low, high = bounds_of(bin_of(value))
    assert low <= value <= high
    assert 0 <= bin_of(value) < BINS


def test_slots_follow_each_other_without_gap_or_overlap():
    expected = 0
    for index in range(BINS):
        low, high = bounds_of(index)
        assert low == expected
        assert bin_of(low) == bin_of(high) == index
        expected = high + 1
    assert expected > HIGHEST


def test_no_slot_is_wider_than_a_thousandth_of_its_values():
    for index in range(1, BINS):
        low, high = bounds_of(index)
        assert (high - low) * 1024 <= max(low, 1024)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "draw",
    [
        lambda r: r.randrange(0, 3000),
        lambda r: int(r.lognormvariate(11, 1.5)),
        lambda r: int(r.expovariate(1) * 50_000_000),
        lambda r: int(10 ** r.uniform(0, 12.5)),
        lambda r: r.choice([100, 100_000, 100_000_000]),
    ],
    ids=["small", "lognormal", "exponential", "every magnitude", "three values"],
)
def test_percentiles_are_never_below_the_exact_ones_and_above_by_less_than_a_thousandth(seed, draw):
    rng = random.Random(seed)
    values = [draw(rng) for _ in range(rng.choice([1, 2, 10, 999, 1000, 3001]))]
    histogram = filled(values)
    for percent, told in zip(PERCENTS, histogram.percentiles(PERCENTS), strict=True):
        truth = exact(values, percent)
        assert truth <= told <= truth + truth / 1000
        assert told <= max(values)


def test_p_of_n_values_is_the_value_of_rank_n_times_p():
    histogram = filled(range(1, 1001))
    assert histogram.percentiles((50, 90, 99, 99.9, 100)) == [500, 900, 990, 999, 1000]
    assert histogram.percentile(50.01) == 501
    assert histogram.percentile(0) == 1


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 99, 100, 1000, 10**4, 10**7])
@pytest.mark.parametrize("percent", [0, 0.1, 33.3, 50, 90, 99, 99.9, 99.99, 100])
def test_a_rank_is_the_smallest_that_covers_the_percentage(total, percent):
    wanted = Fraction(str(percent)) * total / 100
    assert rank_of(percent, total) == max(1, math.ceil(wanted))


def test_percentiles_are_told_in_the_order_asked_for():
    histogram = filled(range(1, 101))
    assert histogram.percentiles((99, 1, 50)) == [99, 1, 50]


def test_a_percentile_is_never_above_the_maximum_nor_below_the_minimum():
    histogram = filled([1_000_001])  # shares its bin with larger values
    assert histogram.percentiles((0, 50, 99.9, 100)) == [1_000_001] * 4
    assert histogram.max == histogram.min == 1_000_001


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(ValueError, match="from 0 to 100"):
        filled([1]).percentile(percent)


def test_an_empty_histogram_is_all_zeros():
    histogram = Histogram()
    assert (histogram.count, histogram.min, histogram.max, histogram.mean) == (0, 0, 0, 0.0)
    assert histogram.percentiles((50, 99)) == [0, 0]


def test_minimum_and_maximum_are_exact_and_the_mean_nearly():
    rng = random.Random(7)
    values = [rng.randrange(10**5, 10**8) for _ in range(5000)]
    histogram = filled(values)
    assert (histogram.min, histogram.max, histogram.count) == (min(values), max(values), 5000)
    assert histogram.mean == pytest.approx(sum(values) / 5000, rel=1 / 2000)


def test_recording_many_times_at_once_is_recording_one_by_one():
    at_once, one_by_one = Histogram(), Histogram()
    at_once.record(123_456, 5)
    for _ in range(5):
        one_by_one.record(123_456)
    assert at_once.counts == one_by_one.counts


def test_what_takes_longer_than_an_hour_counts_as_an_hour():
    histogram = filled([HIGHEST + 1, 10**18])
    assert histogram.max == histogram.percentile(50) == HIGHEST
    assert histogram.count == 2


def test_a_negative_duration_is_refused():
    with pytest.raises(ValueError, match="negative"):
        Histogram().record(-1)


def test_merging_is_the_same_as_having_recorded_everything_in_one():
    rng = random.Random(3)
    values = [int(rng.lognormvariate(12, 2)) for _ in range(3000)]
    parts = [filled(values[i::3]) for i in range(3)]
    merged = Histogram()
    for part in (*parts, Histogram()):
        merged.merge(part)
    whole = filled(values)
    assert merged.counts == whole.counts
    assert (merged.min, merged.max) == (whole.min, whole.max)


def test_memory_is_bounded_whatever_is_recorded():
    histogram = Histogram()
    rng = random.Random(1)
    for _ in range(100_000):
        histogram.record(int(10 ** rng.uniform(0, 13)))
    assert len(histogram.counts) <= BINS


def test_reading_leaves_no_trace_in_the_counts():
    histogram = filled([5, 10**6])
    histogram.percentiles(PERCENTS)
    assert (histogram.count, histogram.mean > 0, len(histogram.counts)) == (2, True, 2)
    assert "2 values" in repr(histogram)
